"""Waiting for what another process or task does and announces to nobody: it is looked at again and again.

Above it: tests and the bench. Rule: every wait is bounded.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

POLL_SECONDS = 0.02


async def until(probe: Callable[[], Any], timeout_seconds: float = 5.0, pause_seconds: float = POLL_SECONDS) -> Any:
    """The probe's first true answer; it may have to be awaited. Raises TimeoutError."""
    async with asyncio.timeout(timeout_seconds):
        while True:
            answer = probe()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return answer
            await asyncio.sleep(pause_seconds)
