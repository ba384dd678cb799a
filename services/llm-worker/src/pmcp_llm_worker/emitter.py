"""Numbers, coalesces and appends the pieces of all running replies, in few round trips.

A reply's first piece leaves at once; later ones wait for the next tick, and then all waiting streams leave in one
append. Above it: `chat_turn`, which writes pieces without waiting. Below it: the `StreamBus` port. Rules: one append
of a stream in flight at a time; a piece whose append was not answered is sent again unchanged, under its old number.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence

from pmcp_common.bus import StreamBus
from pmcp_common.clock import Clock
from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.jobs import AppendResult, Claim, Delta
from pmcp_llm_worker.leases import STANDS, StopSignal

log = logging.getLogger(__name__)

TICK_SECONDS = 0.04
"""25 pieces a second read as smoothly as 50, and a piece costs the same whatever its length."""
COARSE_TICK_SECONDS = 0.25
"""For replies of which the client only wants the end."""
MAX_BATCH = 64
"""Streams in one append: Redis runs it in about 2 ms, and others wait meanwhile."""
MAX_DELTA_CHARS = 8192
RETRY_SECONDS = 0.25
WRITTEN = STANDS | {AppendResult.CANCEL}


class Emitter:
    """One reply on its way out. `write` never waits; `drain` returns when all is in the stream, or the claim lost."""

    __slots__ = (
        "_closing",
        "_coarse",
        "_hash",
        "_hub",
        "_parts",
        "_shown",
        "_waiter",
        "busy",
        "claim",
        "first_at",
        "pending",
        "queued",
        "seq",
        "signal",
        "started",
    )

    def __init__(self, hub: EmitterHub, claim: Claim, signal: StopSignal, shown: str) -> None:
        self.claim = claim
        self.signal = signal
        self.seq = claim.last_seq
        self.first_at: float | None = None
        """Monotonic time at which the first piece of this attempt was in the stream."""
        self.started = bool(shown)
        """Something other than white space was written."""
        self.pending: Delta | None = None
        """Sent, not yet answered."""
        self.busy = False
        self.queued = False
        self._hub = hub
        self._coarse = not claim.submission.streaming
        self._parts: list[str] = []
        self._shown: list[str] = [shown] if shown else []
        self._hash = hashlib.sha256(shown.encode())
        self._waiter: asyncio.Future[None] | None = None
        self._closing = False

    @property
    def text(self) -> str:
        """What is in the stream."""
        return "".join(self._shown)

    @property
    def written(self) -> str:
        """What is in the stream or on its way there."""
        pending = self.pending.text if self.pending is not None else ""
        return "".join((*self._shown, pending, *self._parts))

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def idle(self) -> bool:
        return not self._parts and self.pending is None

    def write(self, piece: str) -> None:
        """The next piece: white space before the first word is dropped, and so is NUL, which no store can hold."""
        if "\x00" in piece:
            piece = piece.replace("\x00", "")
        if not self.started:
            piece = piece.lstrip()
            if not piece:
                return
            self.started = True
            self._parts.append(piece)
            self._hub.flush_after(self, COARSE_TICK_SECONDS if self._coarse else 0.0)
            return
        self._parts.append(piece)
        if not self.queued and not self.busy:
            self._hub.flush_after(self, COARSE_TICK_SECONDS if self._coarse else TICK_SECONDS)

    async def drain(self) -> None:
        """Write out what is left, now."""
        self._closing = True
        while not self.idle and not self.signal.lost:
            if not self.busy:
                self._hub.flush_after(self, 0.0)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def board(self) -> bool:
        """Whether to leave with this flight; one that waited under two delays leaves with the first."""
        if self.signal.lost:
            self._wake()
        if self.signal.lost or self.busy or self.idle:
            return False
        self.busy, self.queued = True, False
        return True

    def next_delta(self) -> Delta:
        """What to append now; the same again until `answered` says it was written."""
        if self.pending is None:
            text = "".join(self._parts)
            self._parts.clear()
            if len(text) > MAX_DELTA_CHARS:
                self._parts.append(text[MAX_DELTA_CHARS:])
                text = text[:MAX_DELTA_CHARS]
            self.pending = Delta(self.claim.submission.job_id, self.seq + 1, self.claim.attempt, text)
        return self.pending

    def answered(self, answer: AppendResult, now: float) -> None:
        self.busy = False
        if answer in WRITTEN and self.pending is not None:
            self.seq = self.pending.seq
            self._shown.append(self.pending.text)
            self._hash.update(self.pending.text.encode())
            self.pending = None
            if self.first_at is None:
                self.first_at = now
        self.signal.take(answer)
        if answer not in WRITTEN:
            self._parts.clear()
        self._continue()

    def unanswered(self) -> None:
        """The bus was away: nobody knows whether the piece is in the stream."""
        self.busy = False
        self._hub.flush_after(self, RETRY_SECONDS)

    def _continue(self) -> None:
        if self._parts and not self.signal.lost:
            self._hub.flush_after(self, 0.0 if self._closing else TICK_SECONDS)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class EmitterHub:
    """Shared by all replies of the process. Three delays are in use, so three timers at most."""

    def __init__(self, bus: StreamBus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._waiting: dict[float, list[Emitter]] = {}
        self._flights: set[asyncio.Task[None]] = set()

    def open(self, claim: Claim, signal: StopSignal, shown: str = "") -> Emitter:
        """`shown`: what an earlier attempt has put into the stream."""
        return Emitter(self, claim, signal, shown)

    def flush_after(self, emitter: Emitter, seconds: float) -> None:
        """Streams that ask for the same delay leave together with the first of them. 0: in this turn of the loop."""
        emitter.queued = True
        waiting = self._waiting.get(seconds)
        if waiting is not None:
            waiting.append(emitter)
            return
        self._waiting[seconds] = [emitter]
        loop = asyncio.get_running_loop()
        if seconds:
            loop.call_later(seconds, self._depart, seconds)
        else:
            loop.call_soon(self._depart, seconds)

    def _depart(self, seconds: float) -> None:
        leaving = [emitter for emitter in self._waiting.pop(seconds) if emitter.board()]
        for start in range(0, len(leaving), MAX_BATCH):
            flight = asyncio.create_task(self._append(leaving[start : start + MAX_BATCH]))
            self._flights.add(flight)
            flight.add_done_callback(self._landed)

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        if not flight.cancelled() and flight.exception() is not None:
            log.error("append failed unexpectedly", exc_info=flight.exception())

    async def _append(self, emitters: Sequence[Emitter]) -> None:
        batch = [(emitter.claim, emitter.next_delta()) for emitter in emitters]
        answers = [AppendResult.GAP] * len(batch)  # for a fault of ours: their replies stop, their leases end
        try:
            answers = await self._bus.append(batch)
        except DomainError as error:
            log.warning("pieces not written, trying again", extra={"streams": len(batch), "code": error.code})
            answers = []
            for emitter in emitters:
                emitter.unanswered()
        finally:
            now = self._clock.monotonic()
            for emitter, answer in zip(emitters, answers, strict=False):
                emitter.answered(answer, now)
