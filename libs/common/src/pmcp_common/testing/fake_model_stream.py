"""One generation of the fake model being written: token by token on a shared wheel, with its planned fault.

Above it: `fake_model` (connections, routes). Below it: `fake_model_wire` (lines), `fake_model_record` (seen).
Rule: a generation ends exactly once in the record; the plain path costs one dictionary access, one write a token.
"""

import asyncio
import heapq
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Protocol

import orjson

from pmcp_common.testing.fake_model_record import RecordedRequest, Recorder
from pmcp_common.testing.fake_model_script import Behaviour, Kind
from pmcp_common.testing.fake_model_wire import (
    GARBAGE,
    MULTIBYTE_TOKEN,
    RUNNER_ERROR,
    Answer,
    Dialect,
    Timing,
    split_utf8,
)

TICK_SECONDS = 0.001
SPLIT_PAUSE_SECONDS = 0.005  # enough for the reader to take the first half by itself
END_OF_BODY = b"0\r\n\r\n"
AT_A_TOKEN = frozenset(
    {
        Kind.HANG_AFTER_TOKENS,
        Kind.ERROR_LINE,
        Kind.EOF_WITHOUT_DONE,
        Kind.DROP,
        Kind.RESET,
        Kind.GARBAGE_LINE,
        Kind.CUT_JSON,
        Kind.SPLIT_UTF8,
        Kind.DRIP,
        Kind.HUGE_LINE,
    }
)


class Outlet(Protocol):
    """Where a generation writes: its connection."""

    transport: asyncio.Transport

    def released(self, *, close: bool) -> None:
        """The answer is complete; the connection may serve the next request, or is closed."""


class TokenWheel:
    """Calls generations at their due time, in ticks of a millisecond: one timer for all of them."""

    def __init__(self, clock: Callable[[], float], wall_clock: Callable[[], float]) -> None:
        self.clock = clock
        self.wall_clock = wall_clock
        self._slots: dict[int, list[Generation]] = {}
        self._ticks: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._armed_tick = 0
        self._stamps: dict[type[Dialect], bytes] = {}

    def add(self, generation: "Generation", due: float) -> None:
        tick = int(due / TICK_SECONDS) + 1
        slot = self._slots.get(tick)
        if slot is None:
            self._slots[tick] = [generation]
            heapq.heappush(self._ticks, tick)
            self._arm()
        else:
            slot.append(generation)

    def stamp(self, dialect: Dialect) -> bytes:
        """The dialect's `created` for this tick."""
        kind = type(dialect)
        found = self._stamps.get(kind)
        if found is None:
            found = self._stamps[kind] = dialect.stamp(self.wall_clock())
        return found

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._slots.clear()
        self._ticks.clear()

    def _arm(self) -> None:
        tick = self._ticks[0]
        if self._timer is not None:
            if self._armed_tick <= tick:
                return
            self._timer.cancel()
        wait = max(TICK_SECONDS, tick * TICK_SECONDS - self.clock())
        self._armed_tick = tick
        self._timer = asyncio.get_running_loop().call_later(wait, self._turn)

    def _turn(self) -> None:
        self._timer = None
        self._stamps.clear()
        now_tick = int(self.clock() / TICK_SECONDS) + 1
        while self._ticks and self._ticks[0] <= now_tick:
            for generation in self._slots.pop(heapq.heappop(self._ticks)):
                generation.step()
        if self._ticks:
            self._arm()


class Generation:
    """Writes one answer. `closed()` must be called when the connection is lost."""

    def __init__(
        self,
        outlet: Outlet,
        wheel: TokenWheel,
        recorder: Recorder,
        record: RecordedRequest,
        dialect: Dialect,
        answer: Answer,
        behaviour: Behaviour,
    ) -> None:
        self._outlet = outlet
        self._wheel = wheel
        self._recorder = recorder
        self._record = record
        self._dialect = dialect
        self._answer = answer
        self._behaviour = behaviour
        self._fault_at = behaviour.after_tokens if behaviour.kind in AT_A_TOKEN else -1
        self._fault_at = min(self._fault_at, answer.total)
        self._sent = 0
        self._gap = 0.0
        self._due = 0.0
        self._alive = True
        self._head_sent = False
        self._whole = False
        self._dripping: deque[int] | None = None

    def start(self, ttft_seconds: float, gap_seconds: float) -> None:
        self._gap = gap_seconds
        self._due = self._record.arrived_at + ttft_seconds
        self._wheel.add(self, self._due)

    def start_whole(self, ttft_seconds: float, gap_seconds: float) -> None:
        """The non-streaming form: one body when the last token would have been sent."""
        self._due = self._record.arrived_at + ttft_seconds + gap_seconds * max(0, self._answer.total - 1)
        self._whole = True
        self._wheel.add(self, self._due)

    def closed(self) -> None:
        self._alive = False
        self._recorder.end(self._record, "closed_early", self._wheel.clock())

    def step(self) -> None:
        """Sends the next token, and with the last one the end of the answer."""
        if not self._alive:
            return
        if self._whole:
            self._step_whole()
            return
        index = self._sent
        if index == self._fault_at:
            self._fault_at = -1
            if not self._misbehave():
                return
        if index >= self._answer.total:
            self._write(self._ending())
            self._finish("done", close=False)
            return
        line = self._dialect.token(self._answer.piece(index), self._wheel.stamp(self._dialect))
        data = b"%x\r\n%b\r\n" % (len(line), line)
        self._sent = index + 1
        self._record.tokens_sent += 1
        self._recorder.tokens_sent += 1
        last = self._sent == self._answer.total and self._fault_at < 0
        self._write(data + self._ending() if last else data)
        if index == 0:
            self._record.first_token_at = self._wheel.clock()
        if last:
            self._finish("done", close=False)
            return
        self._recorder.wake()
        self._due += self._gap
        self._wheel.add(self, self._due)

    def _ending(self) -> bytes:
        stamp = self._wheel.stamp(self._dialect)
        return chunk(self._dialect.last(self._answer, stamp, self._timing())) + END_OF_BODY

    def _timing(self) -> Timing:
        now, record = self._wheel.clock(), self._record
        first = record.first_token_at or now
        prompt_tokens = sum(len(str(item.get("content", "")).split()) for item in record.messages)
        total_ns, first_ns = (int((moment - record.arrived_at) * 1e9) for moment in (now, first))
        return Timing(total_ns, first_ns, prompt_tokens, self._answer.total)

    def _finish(self, how: str, *, close: bool) -> None:
        if self._dripping:
            return  # the last byte's turn ends it
        self._alive = False
        self._recorder.end(self._record, how, self._wheel.clock())
        self._outlet.released(close=close)

    def _write(self, data: bytes) -> None:
        if not self._head_sent:
            self._head_sent = True
            data = stream_head(self._dialect.stream_type) + data
        self._send(data)

    def _send(self, data: bytes) -> None:
        if self._dripping is None:
            self._outlet.transport.write(data)
            return
        idle = not self._dripping
        self._dripping.extend(data)
        if idle:
            asyncio.get_running_loop().call_soon(self._drip)

    def _drip(self) -> None:
        """One byte per turn of the loop: each goes to the kernel by itself."""
        if not self._alive or not self._dripping:
            return
        self._outlet.transport.write(bytes((self._dripping.popleft(),)))
        if self._dripping:
            asyncio.get_running_loop().call_soon(self._drip)
        elif self._sent >= self._answer.total:
            self._finish("done", close=False)

    def _misbehave(self) -> bool:
        """Does the planned fault; True when the stream goes on at once with the next token."""
        kind, dialect, stamp = self._behaviour.kind, self._dialect, self._wheel.stamp(self._dialect)
        match kind:
            case Kind.GARBAGE_LINE:
                self._write(chunk(dialect.garbage_line()))
            case Kind.HUGE_LINE:
                self._write(chunk(dialect.token(b'"%b"' % (b"x" * self._behaviour.line_bytes), stamp)))
            case Kind.DRIP:
                self._dripping = deque()
            case Kind.SPLIT_UTF8:
                self._send_split(dialect.token(orjson.dumps(MULTIBYTE_TOKEN), stamp))
                return False
            case _:
                self._break_off(kind, dialect, stamp)
                return False
        return True

    def _break_off(self, kind: Kind, dialect: Dialect, stamp: bytes) -> None:
        match kind:
            case Kind.ERROR_LINE:
                text = self._behaviour.message or RUNNER_ERROR
                self._end_with(chunk(dialect.error_line(text)) + END_OF_BODY)
            case Kind.EOF_WITHOUT_DONE:
                self._end_with(END_OF_BODY)
            case Kind.CUT_JSON:
                line = dialect.token(b'" cut short"', stamp)
                self._end_with(chunk(line[: len(line) * 2 // 3]) + END_OF_BODY)
            case Kind.DROP:
                self._end_with(b"", close=True)
            case _:  # HANG_AFTER_TOKENS, RESET
                self._write(b"")
                if kind is Kind.RESET:
                    self._reset()

    def _reset(self) -> None:
        self._recorder.end(self._record, "fault", self._wheel.clock())
        reset_connection(self._outlet.transport)

    def _end_with(self, data: bytes, *, close: bool = False) -> None:
        self._write(data)
        self._finish("fault", close=close)

    def _send_split(self, line: bytes) -> None:
        first, second = split_utf8(line)
        self._write(chunk(first))
        asyncio.get_running_loop().call_later(SPLIT_PAUSE_SECONDS, self._send_rest, second)

    def _send_rest(self, rest: bytes) -> None:
        if self._alive:
            self._write(chunk(rest))
            self._due = self._wheel.clock()
            self._wheel.add(self, self._due)

    def _step_whole(self) -> None:
        kind = self._behaviour.kind
        if kind is Kind.HANG_AFTER_TOKENS:
            return
        self._record.first_token_at = self._wheel.clock()
        body = self._dialect.whole(self._answer, self._wheel.stamp(self._dialect), self._timing())
        if kind is Kind.RESET:
            self._reset()
            return
        if kind in (Kind.GARBAGE_LINE, Kind.CUT_JSON):
            body = GARBAGE if kind is Kind.GARBAGE_LINE else body[: len(body) * 2 // 3]
        cut_off = kind in (Kind.DROP, Kind.EOF_WITHOUT_DONE)
        self._sent = self._record.tokens_sent = self._answer.total
        self._recorder.tokens_sent += self._answer.total
        self._head_sent = True
        self._dripping = deque() if kind is Kind.DRIP else None
        self._send(whole_head(200, len(body)) + (body[: len(body) // 2] if cut_off else body))
        self._finish("fault" if cut_off else "done", close=cut_off)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream_head(content_type: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


def whole_head(status: int, length: int, content_type: str = "application/json; charset=utf-8") -> bytes:
    return (
        f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def reset_connection(transport: asyncio.Transport) -> None:
    """Makes the peer see a TCP RST instead of an end."""
    kernel_socket = transport.get_extra_info("socket")
    kernel_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
