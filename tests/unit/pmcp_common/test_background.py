"""Background tasks are ended for certain, also when a cancellation gets lost on its way, and do not die unseen."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from pmcp_common.background import end_tasks, keep_running

AT_ONCE = 0.0


class Stubborn:
    """Loses so many cancellations, and then the next one ends it."""

    def __init__(self, losses: int) -> None:
        self.losses = losses

    async def run(self) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not self.losses:
                    raise
                self.losses -= 1


async def started(*runs: Stubborn) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(one.run()) for one in runs]
    await asyncio.sleep(0)
    return tasks


async def test_a_task_that_loses_cancellations_is_cancelled_until_it_is_over() -> None:
    tasks = await started(Stubborn(0), Stubborn(3))
    async with asyncio.timeout(5):
        await end_tasks(iter(tasks), AT_ONCE)
    assert all(task.cancelled() for task in tasks)


async def test_tasks_that_are_over_already_are_left_alone() -> None:
    async def fails() -> None:
        raise ValueError("its owner looks at this")

    done = asyncio.create_task(fails())
    await asyncio.wait({done})
    await end_tasks([])
    await end_tasks([done], AT_ONCE)
    assert isinstance(done.exception(), ValueError)


@pytest.mark.parametrize("how", ["broken", "cancelled", "over"])
async def test_a_process_whose_background_task_died_leaves(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _pid, number: left.append(number))

    async def work() -> None:
        if how == "broken":
            raise ValueError(how)
        if how == "cancelled":
            raise asyncio.CancelledError

    await asyncio.wait([keep_running(work())])
    await asyncio.sleep(0)
    assert left == ([signal.SIGTERM] if how == "broken" else [])
