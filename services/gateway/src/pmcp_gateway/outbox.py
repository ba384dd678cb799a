"""What waits to be sent on one socket: bounded, in order, written by one task. Nobody else awaits the socket.

Chunks of one stream that wait together leave as one frame. Nothing is ever dropped: a client for whom more than the
bound waits, or who takes too long over one frame, is cut off (4010) and may read the rest after it comes back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from pmcp_common.clock import Clock
from pmcp_common.contracts.jobs import Delta
from pmcp_gateway.metrics import FRAMES_OUT, RELAY_LAG
from pmcp_gateway.timestamps import Stamps

CHUNK_OVERHEAD_BYTES = 400
"""Of a chunk frame, beside its text (which it holds twice)."""
MAX_MERGED_BYTES = 64 * 1024
"""A frame of this size is not added to: clients bound what they accept."""
MEASURED_FLUSHES = 8
"""One in so many writes is measured: a metric costs as much as the encoding of a frame."""


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    max_bytes: int = 1024 * 1024
    max_frames: int = 4096
    send_seconds: float = 8.0
    """The longest one frame may wait for the client to take it."""


class ChunkRenderer(Protocol):
    """One stream's way from deltas to a frame."""

    def render(self, deltas: list[Delta], timestamp: str) -> bytes: ...


@dataclass(slots=True)
class _Chunk:
    renderer: ChunkRenderer
    size: int
    deltas: list[Delta] = field(default_factory=list)


class Outbox:
    def __init__(
        self,
        send: Callable[[str], Awaitable[None]],
        on_too_slow: Callable[[], None],
        clock: Clock,
        limits: OutboxLimits | None = None,
        stamps: Stamps | None = None,
    ) -> None:
        self._send = send
        self._on_too_slow = on_too_slow
        self._clock = clock
        self._stamps = stamps or Stamps(clock)
        self._limits = limits or OutboxLimits()
        self._items: deque[bytes | _Chunk] = deque()
        self._open: dict[int, _Chunk] = {}
        """Chunks still waiting, by the identity of their renderer: further text of the stream joins them."""
        self._bytes = 0
        self._wake = asyncio.Event()
        self._waiting_since = 0.0
        self._sending_since: float | None = None
        self._flushes = self._written = 0
        self._at_end: Callable[[], None] | None = None
        self.closed = False

    def put(self, frame: bytes) -> None:
        """Whole frames: replies, start and end of a stream."""
        if not self.closed:
            self._append(frame, len(frame))

    def put_chunk(self, renderer: ChunkRenderer, delta: Delta) -> None:
        if self.closed:
            return
        size = 2 * len(delta.text.encode())
        chunk = self._open.get(id(renderer))
        if chunk is not None and chunk.size < MAX_MERGED_BYTES and chunk.deltas[-1].attempt == delta.attempt:
            chunk.deltas.append(delta)
            chunk.size += size
            self._bytes += size
            self._check_size()
            return
        size += CHUNK_OVERHEAD_BYTES
        chunk = _Chunk(renderer, size, [delta])
        self._open[id(renderer)] = chunk
        self._append(chunk, size)

    def _append(self, item: bytes | _Chunk, size: int) -> None:
        if not self._items:
            self._waiting_since = self._clock.monotonic()
        self._items.append(item)
        self._bytes += size
        self._check_size()
        self._wake.set()

    def _check_size(self) -> None:
        # One frame alone may be larger than the bound: there is nothing it could have waited behind.
        over = self._bytes > self._limits.max_bytes and len(self._items) > 1
        if over or len(self._items) > self._limits.max_frames:
            self._give_up()

    def finish(self, then: Callable[[], None]) -> None:
        """Send what waits and then call `then`, which closes the socket."""
        if self._at_end is None:
            self._at_end = then
            self._wake.set()

    def sweep(self) -> None:
        """Called every second or so: has one frame been in the sending for too long?"""
        since = self._sending_since
        if since is not None and self._clock.monotonic() - since > self._limits.send_seconds:
            self._give_up()

    def _give_up(self) -> None:
        if not self.closed:
            self.close()
            self._on_too_slow()

    def close(self) -> None:
        """Nothing more is sent; what waited is forgotten."""
        self.closed = True
        self._count_frames()
        self._items.clear()
        self._open.clear()
        self._bytes = 0
        self._wake.set()

    async def run(self) -> None:
        """Write until closed; the only place that awaits the socket."""
        while not self.closed:
            await self._wake.wait()
            self._wake.clear()
            await self._flush()
            if self._at_end is not None and not self._items and not self.closed:
                self._at_end()

    async def _flush(self) -> None:
        if not self._items:
            return
        started = self._clock.monotonic()
        self._flushes += 1
        if self._flushes % MEASURED_FLUSHES == 1:
            RELAY_LAG.observe(started - self._waiting_since)
            self._count_frames()
        self._sending_since = started
        now = self._stamps.now()
        while self._items:
            await self._send(self._next(now).decode())
            self._written += 1
            if self._items:
                self._sending_since = self._clock.monotonic()
        self._sending_since = None

    def _count_frames(self) -> None:
        FRAMES_OUT.inc(self._written)
        self._written = 0

    def _next(self, now: str) -> bytes:
        item = self._items.popleft()
        if isinstance(item, bytes):
            self._bytes -= len(item)
            return item
        self._bytes -= item.size
        if self._open.get(id(item.renderer)) is item:
            del self._open[id(item.renderer)]
        return item.renderer.render(item.deltas, now)
