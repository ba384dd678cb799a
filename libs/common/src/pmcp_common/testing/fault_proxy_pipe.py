"""One proxied connection: two directions, each a reader and a writer task with a bounded queue between them.

Above it: `fault_proxy`, which says what each direction does wrong. Rule: order and content of bytes never change;
a blackhole stops reading and holds what was read, so that healing delivers everything, as a network would.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

MAX_CHUNK_BYTES = 16 * 1024
MAX_QUEUED_CHUNKS = 64  # 1 MiB per direction: latency needs a queue, memory a limit
CLOSE_SECONDS = 2.0
SLICES_PER_SECOND = 20  # a throttled direction moves every 50 ms
RESET_NOW = struct.pack("ii", 1, 0)  # SO_LINGER, zero seconds: close sends RST


class Direction(StrEnum):
    UP = "up"
    """From the client to the target."""
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Fault:
    """What one direction does wrong; the default is nothing. Parts combine."""

    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    """Added or taken away, uniformly; order is kept."""
    bytes_per_second: int | None = None
    blackhole: bool = False
    cut_after_bytes: int | None = None
    """Exactly so many bytes are still forwarded, then the whole connection ends."""
    cut_by_reset: bool = True
    """False: the connection is closed politely instead."""

    def __post_init__(self) -> None:
        if self.latency_ms < 0 or self.jitter_ms < 0:
            raise ValueError("latency_ms and jitter_ms are at least 0")
        if self.bytes_per_second is not None and self.bytes_per_second < 1:
            raise ValueError("bytes_per_second is at least 1; use blackhole for nothing at all")
        if self.cut_after_bytes is not None and self.cut_after_bytes < 0:
            raise ValueError("cut_after_bytes is at least 0")


@dataclass(frozen=True, slots=True)
class Timing:
    """Where time and chance come from."""

    sleep: Callable[[float], Awaitable[None]]
    monotonic: Callable[[], float]
    random: random.Random


class ConnectionCut(Exception):
    """The fault asks for the connection's end."""

    def __init__(self, *, by_reset: bool) -> None:
        super().__init__("cut by reset" if by_reset else "cut politely")
        self.by_reset = by_reset


class Connection:
    """Both directions. `run` ends when both have ended, or at once after a reset, a cut or `close`."""

    def __init__(
        self,
        ends: Mapping[Direction, tuple[asyncio.StreamReader, asyncio.StreamWriter]],
        faults: Mapping[Direction, Fault],
        timing: Timing,
        count: Callable[[Direction, int], None],
        count_reset: Callable[[], None],
    ) -> None:
        self._writers = [writer for _, writer in ends.values()]
        # Of the client's own end; 0 when it was gone before anybody looked.
        self.client_port: int = (ends[Direction.DOWN][1].get_extra_info("peername") or ("", 0))[1]
        self._count_reset = count_reset
        self._pipes = {
            direction: Pipe(direction, reader, writer, faults[direction], timing, count)
            for direction, (reader, writer) in ends.items()
        }
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    def set_fault(self, direction: Direction, fault: Fault) -> None:
        self._pipes[direction].set_fault(fault)

    def half_close(self, direction: Direction) -> None:
        self._pipes[direction].end_now()

    def reset(self) -> None:
        """RST to both sides; what was not delivered is lost."""
        if self._ended:
            return
        self._count_reset()
        self._abort(reset=True)

    def close(self) -> None:
        if not self._ended:
            self._abort(reset=False)

    async def run(self) -> None:
        self._task = asyncio.current_task()
        for writer in self._writers:
            writer.transport.set_write_buffer_limits(high=0)
        pumps = [asyncio.ensure_future(part) for pipe in self._pipes.values() for part in (pipe.read(), pipe.write())]
        try:
            await asyncio.gather(*pumps)
        except ConnectionCut as cut:
            if cut.by_reset:
                self.reset()
        except OSError:
            self._abort(reset=True)  # one side was reset: the other shall feel it too
        except asyncio.CancelledError:
            if not self._ended:
                raise
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            await self._closed()

    def _abort(self, *, reset: bool) -> None:
        self._ended = True
        for writer in self._writers:
            if reset:
                _make_close_a_reset(writer)
            writer.transport.abort()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def _closed(self) -> None:
        self._ended = True
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await writer.wait_closed()
            except OSError:  # TimeoutError among them: a peer that reads nothing more
                writer.transport.abort()


class Pipe:
    """One direction. `read` stamps each chunk with the moment it may leave; `write` lets it go."""

    def __init__(
        self,
        direction: Direction,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        fault: Fault,
        timing: Timing,
        count: Callable[[Direction, int], None],
    ) -> None:
        self._direction = direction
        self._reader = reader
        self._writer = writer
        self._timing = timing
        self._count = count
        self._queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MAX_QUEUED_CHUNKS)
        self._open = asyncio.Event()
        self._end = asyncio.Event()
        self._last_due = 0.0
        self._paced_until = 0.0
        self.set_fault(fault)

    def set_fault(self, fault: Fault) -> None:
        self._fault = fault
        self._left = fault.cut_after_bytes
        self._paced_until = 0.0
        if fault.blackhole:
            self._open.clear()
        else:
            self._open.set()

    def end_now(self) -> None:
        """EOF to the receiver; what the sender still says is thrown away."""
        self._end.set()

    async def read(self) -> None:
        while True:
            await self._open.wait()
            chunk = await self._reader.read(MAX_CHUNK_BYTES)
            await self._queue.put((self._due(), chunk))
            if not chunk:
                return

    async def write(self) -> None:
        forward = asyncio.ensure_future(self._forward())
        end = asyncio.ensure_future(self._end.wait())
        try:
            await asyncio.wait((forward, end), return_when=asyncio.FIRST_COMPLETED)
            if forward.done():
                forward.result()
        finally:
            forward.cancel()
            end.cancel()
            await asyncio.gather(forward, end, return_exceptions=True)
        ended_early = not forward.done() or forward.cancelled()
        if self._writer.can_write_eof() and not self._writer.is_closing():
            self._writer.write_eof()
        while ended_early and (await self._queue.get())[1]:
            pass

    async def _forward(self) -> None:
        while True:
            due, chunk = await self._queue.get()
            await self._sleep_until(due)
            if not chunk:
                await self._open.wait()
                return
            while chunk:
                chunk = await self._forward_slice(chunk)

    async def _forward_slice(self, chunk: bytes) -> bytes:
        """Forwards what the fault allows at once; returns the rest."""
        await self._open.wait()
        size = len(chunk)
        rate = self._fault.bytes_per_second
        if rate is not None:
            size = min(size, max(1, rate // SLICES_PER_SECOND))
        if self._left is not None:
            size = min(size, self._left)
            self._left -= size
        if rate is not None and size:
            start = max(self._timing.monotonic(), self._paced_until)
            self._paced_until = start + size / rate
            await self._sleep_until(self._paced_until)
            await self._open.wait()
        if size:
            self._writer.write(chunk[:size])
            await self._writer.drain()
            self._count(self._direction, size)
        if self._left == 0:
            raise ConnectionCut(by_reset=self._fault.cut_by_reset)
        return chunk[size:]

    def _due(self) -> float:
        fault = self._fault
        if not (fault.latency_ms or fault.jitter_ms):
            return self._last_due
        delay_ms = fault.latency_ms + self._timing.random.uniform(-fault.jitter_ms, fault.jitter_ms)
        self._last_due = max(self._last_due, self._timing.monotonic() + max(0.0, delay_ms) / 1000)
        return self._last_due

    async def _sleep_until(self, moment: float) -> None:
        remaining = moment - self._timing.monotonic()
        if remaining > 0:
            await self._timing.sleep(remaining)


def _make_close_a_reset(writer: asyncio.StreamWriter) -> None:
    plug = writer.get_extra_info("socket")
    if plug is not None:
        with suppress(OSError):
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_NOW)
