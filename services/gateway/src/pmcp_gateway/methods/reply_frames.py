"""One streamed reply on its way to its client: events of the relay → frames in the outbox, exactly one end.

On the hot path: a chunk costs one dict and one encoding, when it is written. Frames that waited together are merged;
a merged frame says `first_seq` besides `seq`, so that positions stay contiguous.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from pmcp_common.contracts.errors import BY_CODE, INTERNAL_ERROR, LLM_ERROR, DomainError
from pmcp_common.contracts.frames import (
    DURABLE,
    ERROR,
    VOLATILE,
    chunk_result,
    end_result,
    lost_result,
    restart_result,
    start_result,
)
from pmcp_common.contracts.jobs import Accepted, Delta, End, StreamEvent
from pmcp_common.contracts.methods import ChatParams
from pmcp_gateway import protocol
from pmcp_gateway.methods.call import Call, Connection, Services
from pmcp_gateway.protocol import JsonId

FAILED_LATE = "Chat streaming failed"
FAILED_EARLY = "Streaming error"
EVENT = "stream.event"
"""The notification that carries frames of a resumed stream: the id of the request belonged to another socket."""

Envelope = Callable[[dict[str, Any], dict[str, Any] | None], bytes]
"""Result and error → frame."""


def answers(number: JsonId) -> Envelope:
    """Frames that repeat the id of the request."""

    def wrap(result: dict[str, Any], error: dict[str, Any] | None) -> bytes:
        return protocol.success(number, result) if error is None else protocol.stream_failure(number, result, error)

    return wrap


def notifications(result: dict[str, Any], error: dict[str, Any] | None) -> bytes:
    return protocol.notification(EVENT, result if error is None else {**result, "error": error})


class Heading(Protocol):
    @property
    def head(self) -> int: ...


class LiveReply:
    """What the socket knows of a reply: `call.Live`."""

    def __init__(self, accepted: Accepted, on_interrupt: str, reply: Heading) -> None:
        self.stream_id, self.attachment = accepted.stream_id, accepted.attachment
        self.on_interrupt = on_interrupt
        self._reply = reply

    @property
    def head(self) -> int:
        return self._reply.head


class Chunks:
    """An `outbox.ChunkRenderer`: the text of one epoch. What waits in the outbox stays of it, whatever follows."""

    def __init__(self, wrap: Envelope, epoch: str) -> None:
        self._wrap = wrap
        self._epoch = epoch
        self._count = self._chars = 0

    def skip(self, delta: Delta) -> None:
        """The client has it already."""
        self._count += 1
        self._chars += len(delta.text)

    def render(self, deltas: list[Delta], timestamp: str) -> bytes:
        delta = deltas[-1]
        if len(deltas) > 1:
            delta = Delta(delta.stream_id, delta.seq, delta.attempt, "".join(part.text for part in deltas))
        self.skip(delta)
        result = chunk_result(delta, self._epoch, timestamp, self._count, self._chars)
        if len(deltas) > 1:
            result["first_seq"] = deltas[0].seq
        return self._wrap(result, None)


class StreamedReply:
    """A `relay.Receiver`."""

    def __init__(
        self, services: Services, connection: Connection, method: str, envelope: Envelope, *, shown_seq: int = 0
    ) -> None:
        """`shown_seq`: what the client has already; events up to it are counted and not sent."""
        self._services = services
        self._outbox = connection.outbox
        self._method = method
        self._wrap = envelope
        self._accepted = Accepted("", "", "", "", "")
        self._shown_seq = shown_seq
        self._start: dict[str, Any] = {}
        self._recorded: asyncio.Future[bool] | None = None
        """While the start frame is held back: whether the message is in the record of accepted jobs."""
        self._pieces: list[str] = []
        self._chunks = Chunks(envelope, "")
        self._read_seq = 0
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """The state of the end frame, once it waits to be sent."""

    @property
    def head(self) -> int:
        """Position of the newest frame given to the outbox, or shown before."""
        return max(self._read_seq, self._shown_seq)

    def begin(self, accepted: Accepted) -> None:
        """Names the stream; its first events may come."""
        self._accepted = accepted
        self._chunks = Chunks(self._wrap, accepted.epoch)
        self._start = {"stream_id": accepted.stream_id}

    def hold(self, accepted: Accepted, params: ChatParams, recorded: asyncio.Future[bool]) -> None:
        """The start frame waits for `open`, or for what has to come after it: no token is late for it."""
        self.begin(accepted)
        now = self._services.stamps.now()
        self._start = start_result(accepted, params.message, params.token_budget, now, VOLATILE)
        self._recorded = recorded

    def open(self) -> None:
        """Repeating it is harmless."""
        recorded, self._recorded = self._recorded, None
        if recorded is None:
            return
        if recorded.done() and recorded.result():
            self._start["durability"] = DURABLE
        self._outbox.put(self._wrap(self._start, None))

    def restart(self, epoch: str) -> None:
        self.open()
        self._accepted = replace(self._accepted, epoch=epoch)
        self._pieces.clear()
        self._chunks = Chunks(self._wrap, epoch)
        self._read_seq = self._shown_seq = 0
        self._outbox.put(self._wrap(restart_result(self._start, epoch, self._services.stamps.now()), None))

    def take(self, event: StreamEvent) -> None:
        if self._recorded is not None:
            self.open()
        self._read_seq = event.seq
        if isinstance(event, Delta):
            self._pieces.append(event.text)
            if event.seq > self._shown_seq:
                self._outbox.put_chunk(self._chunks, event)
            else:
                self._chunks.skip(event)
            return
        if event.seq > self._shown_seq:
            error = _late_error(self._method, event) if event.state == "failed" else None
            result = end_result(event, self._accepted.epoch, self._services.stamps.now())
            self._outbox.put(self._wrap(result, error))
        self._finish(event.state)

    def give_up(self, error: DomainError) -> None:
        """The broker cannot end this stream any more, so the gateway does, after what it has brought."""
        self.open()
        reason = str(error.data.get("reason", error.row.name))
        result = lost_result(self._accepted, self._accepted.epoch, self._services.stamps.now(), self.head + 1, reason)
        if self._read_seq >= self._shown_seq:
            text = "".join(self._pieces)
            digest = hashlib.sha256(text.encode()).hexdigest()
            result |= {"chars": len(text), "sha256": digest, "partial_response": text}
        fields = protocol.error_object(error, self._method)
        fields["message"] = f"{FAILED_LATE}: {error.message}"
        fields["data"]["error"] = f"{error.row.name}: {error.message}"
        self._outbox.put(self._wrap(result, fields))
        self._finish("failed")

    def _finish(self, state: str) -> None:
        if not self.outcome.done():
            self.outcome.set_result(state)


def _late_error(method: str, end: End) -> dict[str, Any]:
    code = end.error_code if end.error_code is not None else LLM_ERROR.code
    row = BY_CODE.get(code, INTERNAL_ERROR)
    text = end.error_message or "The reply could not be finished"
    data = {
        "method": method,
        "retryable": row.retryable,
        "error": f"{row.name}: {text}",
        "detail": text,
    } | end.error_data
    return {"code": row.code, "message": FAILED_LATE, "data": data}


def early_failure(call: Call, error: DomainError, stream_id: str, now: str) -> bytes:
    """A stream that never began: the frame existing clients know, with a stream id that names nothing."""
    fields = protocol.error_object(error, call.method)
    fields["message"] = f"{FAILED_EARLY}: {error.message}"
    fields["data"].setdefault("error", error.message)
    return protocol.stream_failure(call.id, {"event_type": ERROR, "stream_id": stream_id, "timestamp": now}, fields)
