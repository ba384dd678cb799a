"""Background tasks of a process: none dies unseen, and when they are ended none runs on."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine, Iterable
from typing import Any

log = logging.getLogger(__name__)

CANCEL_AGAIN_SECONDS = 0.5


def keep_running(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Should it die, the process leaves (SIGTERM): without it, it would look alive and do nothing."""

    def check(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.critical("a background task died, leaving", exc_info=task.exception())
            os.kill(os.getpid(), signal.SIGTERM)

    task = asyncio.create_task(work)
    task.add_done_callback(check)
    return task


async def end_tasks(tasks: Iterable[asyncio.Task[Any]], again_seconds: float = CANCEL_AGAIN_SECONDS) -> None:
    """Cancelled until they are over: a cancellation can get lost in the clean-up of a connection that breaks.

    What they raised stays with them.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=again_seconds)
