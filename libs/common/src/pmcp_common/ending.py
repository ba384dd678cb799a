"""Ending background tasks. Rule: when it returns, none of them runs any more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

CANCEL_AGAIN_SECONDS = 0.5


async def end_tasks(tasks: Iterable[asyncio.Task[Any]], again_seconds: float = CANCEL_AGAIN_SECONDS) -> None:
    """Cancelled until they are over: a cancellation can get lost in the clean-up of a connection that breaks.

    What they raised stays with them.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=again_seconds)
