"""The recorder: an append-only file of JSON lines with what clients saw and what servers hold at the end.

Above it: fault tests and the soak, one recorder per process. Below it: one file. Rules: nothing is judged here (that
is `history_checker`); lines are buffered, so that 500 clients at 20 tokens/s cost a few percent of a core; a history
that would outgrow its bound fails, because half a history proves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import orjson

from pmcp_common.contracts.frames import CANCELLED, CHUNK, COMPLETE, ERROR, START
from pmcp_common.testing.history_entries import (
    TYPES,
    CancelAsked,
    ClientLeft,
    EndSeen,
    Entry,
    EventHeld,
    FaultDone,
    FrameSeen,
    MarkerPlanted,
    ModelCall,
    RequestAccepted,
    RequestRefused,
    RequestSent,
    RowHeld,
    SectionHeld,
    SocketClosed,
    StreamResumed,
)

BUFFER_BYTES = 256 * 1024
MAX_BYTES = 4 * 1024**3
END_STATES = {COMPLETE: "done", CANCELLED: "cancelled", ERROR: "failed"}


class HistoryFull(Exception):
    """The file reached `max_bytes`; the run must be shorter or the bound higher."""


class HistoryDamaged(Exception):
    """A line cannot be read, so the file says nothing reliable."""


class Recorder:
    """Writes entries in the order they come. Use as a context manager: the buffer is written out at its end."""

    def __init__(
        self, path: Path, *, monotonic: Callable[[], float] = time.monotonic, max_bytes: int = MAX_BYTES
    ) -> None:
        self.monotonic = monotonic
        self._file = path.open("ab", buffering=0)
        self._size = path.stat().st_size
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        self._file.close()

    def record(self, entry: Entry) -> None:
        line = orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)
        self._size += len(line)
        if self._size > self._max_bytes:
            raise HistoryFull(f"more than {self._max_bytes} bytes")
        self._buffer += line
        if len(self._buffer) >= BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._buffer:
            self._file.write(self._buffer)
            self._buffer.clear()

    def client(self, name: str, *, tenant: str, player: str, principal: str = "local") -> ClientRecorder:
        """`name` is one client for its whole life, over all of its sockets."""
        return ClientRecorder(self, name, tenant, player, principal)

    def planted(self, tenant: str, player: str, marker: str) -> None:
        self.record(MarkerPlanted(tenant, player, marker))

    def fault(self, target: str, action: str, at: float, until: float, *, hides_hangup: bool = False) -> None:
        self.record(FaultDone(at, until, target, action, hides_hangup))

    def rows(self, rows: Iterable[RowHeld]) -> None:
        """All rows of turns the run made."""
        self._section("rows", rows)

    def events(self, events: Iterable[EventHeld]) -> None:
        """All events of the streams Redis still holds."""
        self._section("events", events)

    def calls(self, calls: Iterable[ModelCall]) -> None:
        """All calls on the reply path the model server saw."""
        self._section("calls", calls)

    def _section(self, name: str, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.record(entry)
        self.record(SectionHeld(name))


@dataclass(slots=True)
class ClientRecorder:
    """What one client does and sees. `wire` takes frames as they come; the other methods what only it knows."""

    _recorder: Recorder
    name: str
    tenant: str
    player: str
    principal: str
    _accepted: dict[str, str] = field(default_factory=dict)
    """Requests in flight → stream."""

    def sent(
        self,
        request: str,
        marker: str,
        *,
        conversation: str = "",
        idempotency_key: str | None = None,
        streaming: bool = True,
    ) -> None:
        identity = (self.tenant, self.player, marker, conversation, self.principal)
        entry = RequestSent(self._now(), self.name, request, *identity, idempotency_key, streaming)
        self._recorder.record(entry)

    def accepted(
        self, request: str, stream: str, message_id: str, epoch: str = "", durability: str = "durable"
    ) -> None:
        self._accepted[request] = stream
        entry = RequestAccepted(self._now(), self.name, request, stream, message_id, epoch, durability)
        self._recorder.record(entry)

    def refused(self, request: str, code: int) -> None:
        """An error that was no stream frame, or (code 0) the client library's own word that it gave up."""
        self._accepted.pop(request, None)
        self._recorder.record(RequestRefused(self._now(), self.name, request, code))

    def replied(self, request: str, result: Mapping[str, Any], text: str) -> None:
        """The one answer of a request without streaming: acceptance and end together."""
        stream, epoch = str(result.get("stream_id", request)), str(result.get("epoch", ""))
        message_id = str(result.get("message_id", ""))
        # A reply that is not stored yet is told as such (`persisted`), and is no promise of more.
        durability = "durable" if result.get("persisted") else "volatile"
        self.accepted(request, stream, message_id, epoch, durability)
        self._accepted.pop(request, None)
        self._end(stream, epoch, dict(result) | {"seq": None, "full_response": text, "state": "done"})

    def wire(self, frame: Mapping[str, Any]) -> None:
        """One frame of a stream, of either form: `result` under the request's id, or `params` of `stream.event`.

        Everything else (other replies, pings) is none of the history's business and is ignored."""
        request = str(frame.get("id", ""))
        result = frame.get("params") if frame.get("method") == "stream.event" else frame.get("result")
        if not isinstance(result, Mapping) or "event_type" not in result:
            # Only an error of a request that was sent as a stream counts, and the caller knows which those are.
            if isinstance(frame.get("error"), Mapping) and request in self._accepted:
                self.refused(request, int(frame["error"].get("code", 0)))
            return
        event = result["event_type"]
        if event == ERROR and "seq" not in result and request and request not in self._accepted:
            # A stream that never began: its stream id names nothing.
            error = frame.get("error")
            self.refused(request, int(error.get("code", 0)) if isinstance(error, Mapping) else 0)
            return
        stream, epoch = str(result.get("stream_id", "")), str(result.get("epoch", ""))
        if event == START:
            self._start(request, stream, epoch, result)
        elif event == CHUNK:
            seq = int(result["seq"])
            first, attempt = int(result.get("first_seq", seq)), int(result.get("attempt", 1))
            self._recorder.record(
                FrameSeen(self._now(), self.name, stream, epoch, first, seq, result["chunk"], attempt)
            )
        elif event in END_STATES:
            # By stream: after a resume frames carry no request id. At most the requests in flight are looked at.
            self._accepted = {known: of for known, of in self._accepted.items() if of != stream}
            self._end(stream, epoch, result)

    def resumed(self, stream: str, epoch: str, last_seq: int, *, recovered: bool, reason: str = "") -> None:
        self._recorder.record(StreamResumed(self._now(), self.name, stream, epoch, last_seq, recovered, reason))

    def cancelled(self, stream: str, heard_chars: int | None = None) -> None:
        self._recorder.record(CancelAsked(self._now(), self.name, stream, heard_chars))

    def closed(self, code: int, reason: str = "") -> None:
        self._recorder.record(SocketClosed(self._now(), self.name, code, reason))

    def left(self) -> None:
        self._recorder.record(ClientLeft(self._now(), self.name))

    def _start(self, request: str, stream: str, epoch: str, result: Mapping[str, Any]) -> None:
        if result.get("recovered") is False:  # its data was lost, and it begins anew
            self.resumed(stream, epoch, 0, recovered=False, reason=str(result.get("reason", "")))
        elif self._accepted.get(request) != stream:
            durability = str(result["durability"])
            self.accepted(request, stream, str(result.get("message_id", "")), epoch, durability)

    def _end(self, stream: str, epoch: str, result: Mapping[str, Any]) -> None:
        state = str(result.get("state") or END_STATES.get(str(result.get("event_type")), "failed"))
        self._recorder.record(
            EndSeen(
                self._now(),
                self.name,
                stream,
                epoch,
                result.get("seq"),
                state,
                str(result.get("finish_reason", "")),
                str(result.get("sha256", "")),
                result.get("chars"),
                result.get("full_response", result.get("partial_response")),
                str(result.get("message_id", "")),
                bool(result.get("persisted", False)),
            )
        )

    def _now(self) -> float:
        return self._recorder.monotonic()


def read_history(*paths: Path) -> Iterator[Entry]:
    """Entries file by file, in the order they were written. Raises HistoryDamaged."""
    for path in paths:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                yield _entry(line, f"{path.name}:{number}")


def _entry(line: bytes, place: str) -> Entry:
    try:
        if not line.endswith(b"\n"):
            raise ValueError("the line is cut")
        fields = orjson.loads(line)
        if "prompt_markers" in fields:
            fields["prompt_markers"] = tuple(fields["prompt_markers"])
        return TYPES[fields["kind"]](**fields)
    except (ValueError, KeyError, TypeError) as error:
        raise HistoryDamaged(f"{place}: {error}") from error
