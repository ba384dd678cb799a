"""What became of one message, as its player saw it: folded frame by frame, and waited for.

Above it: `player`, `crowd`, `tests/faults`. Rule: it believes what it sees; judging is the checker's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pmcp_common.contracts.frames import CANCELLED, CHUNK, COMPLETE, ERROR, START

Frame = dict[str, Any]
ENDS = frozenset({COMPLETE, CANCELLED, ERROR})


@dataclass(slots=True)
class Told:
    """What became of one message, as the player saw it. Times are monotonic seconds."""

    request: str
    marker: str
    sent_at: float
    params: dict[str, Any] = field(default_factory=dict)
    accepted_at: float | None = None
    first_at: float | None = None
    last_chunk_at: float | None = None
    ended_at: float | None = None
    stream: str = ""
    message_id: str = ""
    durability: str = ""
    """As what it was accepted first."""
    epoch: str = ""
    last_seq: int = 0
    text: str = ""
    frames: int = 0
    end: Frame | None = None
    refusals: list[int] = field(default_factory=list)
    retry_after: list[float | None] = field(default_factory=list)
    """Seconds, of each refusal; None where it names no time to come back."""
    anew_at: list[float] = field(default_factory=list)
    """When it was told that the reply begins anew: the server had lost it."""
    resumes: list[float] = field(default_factory=list)
    """Seconds from a lost socket to the first frame of the stream on the next one."""
    replays: list[float] = field(default_factory=list)
    """The same from the attempt to connect that worked: without the client's own pause before it."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _cut_at: float | None = None
    _connecting_at: float | None = None

    @property
    def state(self) -> str:
        return "" if self.end is None else str(self.end.get("state", "failed"))

    async def until(self, condition: Callable[[Told], bool], timeout_seconds: float = 20.0) -> None:
        """Raises TimeoutError."""
        async with asyncio.timeout(timeout_seconds):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()

    async def until_shown(self, position: int, timeout_seconds: float = 20.0) -> None:
        """Accepted, and so many positions seen or the end. Raises TimeoutError."""
        await self.until(
            lambda one: bool(one.stream) and (one.last_seq >= position or one.end is not None), timeout_seconds
        )

    def take(self, result: Mapping[str, Any], now: float) -> None:
        kind = result.get("event_type")
        if self._cut_at is not None:
            self.resumes.append(now - self._cut_at)
            if self._connecting_at is not None:
                self.replays.append(now - self._connecting_at)
            self._cut_at = self._connecting_at = None
        if kind == START:
            self.accepted_at = self.accepted_at or now
            self.durability = self.durability or result.get("durability", "")
            self.begin_anew(result.get("epoch", ""), now)  # asked for again, or made anew
            self.stream = result["stream_id"]
            self.message_id = result.get("message_id", "")
        elif kind == CHUNK:
            self.first_at = self.first_at or now
            self.last_chunk_at = now
            self.frames += 1
            if result["seq"] > self.last_seq:
                self.last_seq = result["seq"]
                self.text += result["chunk"]
        elif kind in ENDS:
            self.end, self.ended_at = dict(result), now
        self.changed.set()

    def begin_anew(self, epoch: str, now: float) -> None:
        """It comes from its first position; under another epoch what was told before is void."""
        if self.epoch and epoch != self.epoch:
            self.anew_at.append(now)
        self.epoch, self.last_seq, self.text = epoch, 0, ""

    def refused(self, error: Mapping[str, Any]) -> None:
        self.refusals.append(error["code"])
        self.retry_after.append((error.get("data") or {}).get("retry_after"))
        self.changed.set()

    def was_cut(self) -> None:
        if self._cut_at is None:
            self._cut_at = time.monotonic()

    def is_connecting(self) -> None:
        if self._cut_at is not None:
            self._connecting_at = time.monotonic()
