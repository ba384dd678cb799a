"""One streamed reply on its way to its client: events of the relay → frames in the outbox, exactly one end.

On the hot path: a chunk costs one dict and one encoding, when it is written. Frames that waited together are merged;
a merged frame says `first_seq` besides `seq`, so that positions stay contiguous.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pmcp_common.contracts.errors import BY_CODE, INTERNAL_ERROR, LLM_ERROR, DomainError
from pmcp_common.contracts.frames import ERROR, chunk_result, end_result, start_result
from pmcp_common.contracts.jobs import Accepted, Delta, End, StreamEvent
from pmcp_common.contracts.methods import ChatParams
from pmcp_gateway import protocol
from pmcp_gateway.methods.call import Call, Services

FAILED_LATE = "Chat streaming failed"
FAILED_EARLY = "Streaming error"


class StreamedReply:
    """A `relay.Receiver` and an `outbox.ChunkRenderer`."""

    def __init__(self, services: Services, call: Call) -> None:
        self._stamps = services.stamps
        self._call = call
        self._outbox = call.connection.outbox
        self._epoch = ""
        self._stream_id = ""
        self._chunks = 0
        self._chars = 0
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """The state of the end frame, once it waits to be sent."""

    def start(self, accepted: Accepted, params: ChatParams) -> None:
        self._epoch, self._stream_id = accepted.epoch, accepted.stream_id
        now = self._stamps.now()
        result = start_result(accepted, params.message, params.token_budget, now)
        self._outbox.put(protocol.success(self._call.id, result))

    def take(self, event: StreamEvent) -> None:
        if isinstance(event, Delta):
            self._outbox.put_chunk(self, event)
            return
        result = end_result(event, self._epoch, self._stamps.now())
        if event.state == "failed":
            error = _late_error(self._call.method, event)
            self._outbox.put(protocol.stream_failure(self._call.id, result, error))
        else:
            self._outbox.put(protocol.success(self._call.id, result))
        self._finish(event.state)

    def give_up(self, error: DomainError) -> None:
        result = {
            "event_type": ERROR,
            "stream_id": self._stream_id,
            "timestamp": self._stamps.now(),
            "epoch": self._epoch,
        }
        fields = protocol.error_object(error, self._call.method)
        fields["message"] = f"{FAILED_LATE}: {error.message}"
        fields["data"]["error"] = f"{error.row.name}: {error.message}"
        self._outbox.put(protocol.stream_failure(self._call.id, result, fields))
        self._finish("failed")

    def _finish(self, state: str) -> None:
        if not self.outcome.done():
            self.outcome.set_result(state)

    def render(self, deltas: list[Delta], timestamp: str) -> bytes:
        delta = deltas[-1]
        if len(deltas) > 1:
            delta = Delta(delta.stream_id, delta.seq, delta.attempt, "".join(part.text for part in deltas))
        self._chunks += 1
        self._chars += len(delta.text)
        result = chunk_result(delta, self._epoch, timestamp, self._chunks, self._chars)
        if len(deltas) > 1:
            result["first_seq"] = deltas[0].seq
        return protocol.success(self._call.id, result)


def _late_error(method: str, end: End) -> dict[str, Any]:
    code = end.error_code if end.error_code is not None else LLM_ERROR.code
    row = BY_CODE.get(code, INTERNAL_ERROR)
    text = end.error_message or "The reply could not be finished"
    data = {"method": method, "retryable": row.retryable, "error": f"{row.name}: {text}", "detail": text}
    return {"code": row.code, "message": FAILED_LATE, "data": data}


def early_failure(call: Call, error: DomainError, stream_id: str, now: str) -> bytes:
    """A stream that never began: the frame existing clients know, with a stream id that names nothing."""
    fields = protocol.error_object(error, call.method)
    fields["message"] = f"{FAILED_EARLY}: {error.message}"
    fields["data"].setdefault("error", error.message)
    return protocol.stream_failure(call.id, {"event_type": ERROR, "stream_id": stream_id, "timestamp": now}, fields)
