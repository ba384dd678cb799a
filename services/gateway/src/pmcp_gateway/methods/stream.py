"""stream.cancel and stream.read: a reply that runs or ran, on whichever gateway it began."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pmcp_common.contracts.errors import StreamPosition
from pmcp_common.contracts.frames import chunk_result, end_result
from pmcp_common.contracts.jobs import Delta, StreamEvent, StreamPage, text_of
from pmcp_common.contracts.stream_models import (
    StreamCancelParams,
    StreamCancelResult,
    StreamReadParams,
    StreamReadResult,
)
from pmcp_gateway.methods.call import Call, Services


async def cancel(services: Services, call: Call, params: StreamCancelParams) -> dict[str, Any]:
    status = await services.queue.cancel(call.tenant, call.principal, params.stream_id, heard_chars=params.heard_chars)
    return StreamCancelResult.model_validate({"stream_id": params.stream_id, "status": status}).model_dump(mode="json")


async def read(services: Services, call: Call, params: StreamReadParams) -> dict[str, Any]:
    page = await services.bus.read(call.tenant, call.principal, params.stream_id, params.after_seq, params.limit)
    if params.epoch is not None and params.epoch != page.epoch:
        raise StreamPosition("The stream's data was lost since then", reason="epoch_changed", epoch=page.epoch)
    if params.after_seq > page.head_seq:
        raise StreamPosition("The position is ahead of the stream", reason="ahead", head_seq=page.head_seq)
    shown = await _chars_before(services, call, params, page)
    now = services.stamps.now()
    return StreamReadResult(
        stream_id=params.stream_id,
        epoch=page.epoch,
        state=page.state.value,
        head_seq=page.head_seq,
        events=list(_render(page.events, page.epoch, now, shown)),
    ).model_dump(mode="json")


async def _chars_before(services: Services, call: Call, params: StreamReadParams, page: StreamPage) -> int:
    """Frames say how long the text is up to and including them."""
    if params.after_seq == 0 or not any(isinstance(event, Delta) for event in page.events):
        return 0
    before = await services.bus.read(call.tenant, call.principal, params.stream_id, 0, params.after_seq)
    return len(text_of(before.events))


def _render(events: Iterable[StreamEvent], epoch: str, now: str, shown: int) -> Iterable[dict[str, Any]]:
    for event in events:
        if isinstance(event, Delta):
            shown += len(event.text)
            yield chunk_result(event, epoch, now, event.seq, shown)
        else:
            yield end_result(event, epoch, now)
