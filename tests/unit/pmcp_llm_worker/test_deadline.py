"""One lazy timer per stream keeps all three limits."""

from __future__ import annotations

import asyncio

import pytest

from pmcp_llm_worker.deadline import Deadline
from pmcp_llm_worker.model import ModelStalled, Patience


async def test_a_stream_that_speaks_in_time_is_left_alone() -> None:
    async with Deadline(Patience(first_token=0.05, idle=0.05, total=1.0)) as deadline:
        for _ in range(8):
            deadline.heard()
            await asyncio.sleep(0.01)


async def test_the_total_counts_also_while_waiting_for_the_first_token() -> None:
    with pytest.raises(ModelStalled) as caught:
        async with Deadline(Patience(first_token=4.0, idle=4.0, total=0.02)):
            await asyncio.Event().wait()
    assert caught.value.phase == "total"


async def test_a_cancelled_stream_is_cancelled_and_not_stalled() -> None:
    async def stream() -> None:
        async with Deadline(Patience()):
            await asyncio.Event().wait()

    task = asyncio.create_task(stream())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
