"""Parameters and results of stream.cancel and stream.read: rows of `methods`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from pmcp_common.contracts.method_models import Params, Result
from pmcp_common.contracts.personas import Identifier


class StreamCancelParams(Params):
    stream_id: Identifier
    heard_chars: Annotated[int, Field(strict=True, ge=0, le=2**53)] | None = Field(
        default=None, description="how much of the text was heard: the rest does not become memory; default: all sent"
    )


class StreamCancelResult(Result):
    stream_id: str
    status: Literal["cancelling", "done", "cancelled", "failed"] = Field(
        description="cancelling: the end frame follows; otherwise the state the stream has ended in"
    )


class StreamReadParams(Params):
    stream_id: Identifier
    epoch: str | None = Field(default=None, max_length=64, description="of the frames seen so far, when any were")
    after_seq: Annotated[int, Field(strict=True, ge=0, le=2**53)] = 0
    limit: Annotated[int, Field(strict=True, ge=1, le=1000)] = 500


class StreamReadResult(Result):
    stream_id: str
    epoch: str
    state: str = Field(description="of the job now: queued, claimed, streaming, committing, done, cancelled, failed")
    head_seq: int
    events: list[dict[str, Any]] = Field(description="what `result` of each frame is, oldest first")
