"""The gateway's way out: nothing of it may keep the process."""

from __future__ import annotations

import asyncio

from pmcp_gateway import app


async def test_background_tasks_are_over_when_the_block_is() -> None:
    ended = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with app._running(waits()):
        await asyncio.sleep(0)
    assert ended.is_set()
