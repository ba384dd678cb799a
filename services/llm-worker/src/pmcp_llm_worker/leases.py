"""The replies this process is running: each has a lease to renew and a reason why it may have to stop.

One loop renews all of them; a hint on the cancel channel and an answer to an append come in here too. Above it:
`jobs`, `chat_turn`. Rule: once a claim is known to be lost, its reply writes nothing more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from enum import IntEnum

from pmcp_common.bus import StreamBus
from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.jobs import AppendResult, Claim
from pmcp_common.queue import JobQueue

log = logging.getLogger(__name__)

RENEW_SECONDS = 3.0


class StopReason(IntEnum):
    """A higher reason replaces a lower one."""

    CANCELLED = 1
    """The client asked for the end: finish as cancelled."""
    LOST = 2
    """Another worker owns the job, or it has ended: write nothing more."""


STANDS = frozenset({AppendResult.OK, AppendResult.DUP})


class StopSignal:
    """Says to one running reply that it has to stop, and why."""

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self._event = asyncio.Event()

    def set(self, reason: StopReason) -> None:
        if self.reason is None or reason > self.reason:
            self.reason = reason
        self._event.set()

    def take(self, answer: AppendResult) -> None:
        """What the broker said about the claim."""
        if answer is AppendResult.CANCEL:
            self.set(StopReason.CANCELLED)
        elif answer not in STANDS:
            self.set(StopReason.LOST)

    @property
    def lost(self) -> bool:
        return self.reason is StopReason.LOST

    async def wait(self) -> None:
        await self._event.wait()


class Leases:
    def __init__(self, queue: JobQueue, *, renew_seconds: float = RENEW_SECONDS) -> None:
        self._queue = queue
        self._renew_seconds = renew_seconds
        self._held: dict[tuple[str, str], tuple[Claim, StopSignal]] = {}

    @property
    def running(self) -> int:
        return len(self._held)

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[StopSignal]:
        """Keep this claim renewed inside the block."""
        signal = StopSignal()
        if claim.cancelled:
            signal.set(StopReason.CANCELLED)
        key = (claim.submission.tenant, claim.submission.job_id)
        self._held[key] = (claim, signal)
        try:
            yield signal
        finally:
            if self._held.get(key, (None, None))[1] is signal:
                del self._held[key]

    def cancel(self, tenant: str, job_id: str) -> None:
        """A hint: ignored for replies that run elsewhere."""
        held = self._held.get((tenant, job_id))
        if held is not None:
            held[1].set(StopReason.CANCELLED)

    async def renew_forever(self) -> None:
        while True:
            await asyncio.sleep(self._renew_seconds)
            await self.renew_all()

    async def renew_all(self) -> None:
        await asyncio.gather(*(self._renew(claim, signal) for claim, signal in list(self._held.values())))

    async def _renew(self, claim: Claim, signal: StopSignal) -> None:
        try:
            signal.take(await self._queue.renew(claim))
        except DomainError as error:
            # The lease may still be renewed in time; if not, the next write says that the claim is lost.
            log.warning("lease not renewed", extra={"job": claim.submission.job_id, "code": error.code})

    async def follow_cancellations(self, bus: StreamBus) -> None:
        async with aclosing(bus.cancellations()) as hints:
            async for hint in hints:
                if hint is None:
                    # The broker may have lost its data, and these jobs with it: they may begin anew elsewhere.
                    await self.renew_all()
                else:
                    self.cancel(*hint)
