"""The gateway's way out: nothing of it may keep the process."""

from __future__ import annotations

import asyncio

import pytest

from pmcp_gateway import app


async def test_a_background_task_that_loses_its_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(app, "CANCEL_AGAIN_SECONDS", 0.01)
    cancellations = 0

    async def stubborn() -> None:
        nonlocal cancellations
        while cancellations < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancellations += 1

    async with asyncio.timeout(5.0):
        async with app._running(stubborn()):
            await asyncio.sleep(0)
    assert cancellations == 2


async def test_what_a_background_task_died_of_is_not_hidden() -> None:
    async def dies() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        async with app._running(dies()):
            await asyncio.sleep(0)
