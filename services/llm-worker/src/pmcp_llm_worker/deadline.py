"""One deadline for one model stream: first token, then idle, and the total, on a single lazy timer.

`heard` costs a clock read and nothing else; the timer looks at it only when it fires. Knows no model and no HTTP.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from pmcp_llm_worker.model import ModelStalled, Patience


class Deadline:
    """`async with Deadline(patience) as deadline:` raises ModelStalled inside the block when a limit passes."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None
        self._started = self._heard_at = self._loop.time()
        self._phase = "first_token"

    def heard(self) -> None:
        """A piece of the reply has come."""
        self._heard_at = self._loop.time()
        if self._phase == "first_token":
            self._phase = "idle"
            self._arm()

    async def __aenter__(self) -> Deadline:
        await self._timeout.__aenter__()
        self._arm()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise ModelStalled(self._phase, self._seconds()) from None

    def _seconds(self) -> float:
        limits = self._patience
        return {"first_token": limits.first_token, "idle": limits.idle, "total": limits.total}[self._phase]

    def _due(self) -> float:
        since = self._started if self._phase == "first_token" else self._heard_at
        return min(since + self._seconds(), self._started + self._patience.total)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due(), self._check)

    def _check(self) -> None:
        now = self._loop.time()
        if now < self._due():
            self._arm()
            return
        if now >= self._started + self._patience.total:
            self._phase = "total"
        self._timeout.reschedule(now)
