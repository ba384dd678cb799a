"""Parameters and results of `session.open`, `session.resume` and `session.ping`. The table itself: `methods`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pmcp_common.contracts.method_models import OfPlayer, Params, Result
from pmcp_common.contracts.personas import Identifier

PROTOCOL_VERSION = 1
MAX_STREAMS = 64
"""Streams one socket may resume; with `session.ping` also the most positions it tells."""
MAX_SEQ = 2**53

Seq = Annotated[int, Field(strict=True, ge=0, le=MAX_SEQ)]
IdempotencyKey = Annotated[str, Field(min_length=1, max_length=200)]
Epoch = Annotated[str, Field(max_length=64)]


class SessionOpenParams(Params):
    protocol: Annotated[int, Field(strict=True)] = Field(
        default=PROTOCOL_VERSION, description="another version is refused, and the socket closed with 4012"
    )


class SessionLimits(Result):
    max_frame_bytes: int
    max_message_bytes: int
    max_in_flight: int
    max_token_budget: int
    max_deadline_ms: int
    max_streams: int


class SessionOpenResult(Result):
    session_id: str
    resume_token: str = Field(description="256 random bits; good for one resume, which gives the next one")
    gen: int = Field(description="grows with each open and resume; the newest socket speaks for the session")
    heartbeat_ms: int = Field(description="ping at least this often; a peer silent for twice as long is gone")
    resume_window_s: int = Field(description="how long an ended stream can still be resumed or read")
    limits: SessionLimits


class ResumeStream(Params):
    stream_id: Identifier
    epoch: Epoch
    last_seq: Seq = Field(description="of the newest frame that arrived; 0: none")


class SessionResumeParams(OfPlayer):
    session_id: Identifier
    resume_token: Annotated[str, Field(min_length=1, max_length=200)]
    streams: Annotated[tuple[ResumeStream, ...], Field(max_length=MAX_STREAMS)] = ()
    inflight: Annotated[tuple[IdempotencyKey, ...], Field(max_length=MAX_STREAMS)] = Field(
        default=(), description="keys of this player's messages whose acceptance never arrived"
    )
    protocol: Annotated[int, Field(strict=True)] = PROTOCOL_VERSION


class StreamRecovery(Result):
    stream_id: str
    recovered: bool = Field(description="all of it from `last_seq` on follows, or nothing")
    reason: Literal["epoch_changed", "expired", "gap", "ahead", "not_resumable"] | None
    epoch: str
    head_seq: int
    state: str | None


class InFlightFate(Result):
    idempotency_key: str
    status: Literal["accepted", "unknown"] = Field(description="unknown: send the message again under the same key")
    stream_id: str | None
    message_id: str | None
    epoch: str | None


class SessionResumeResult(SessionOpenResult):
    active_persona_id: str | None
    active_persona_name: str | None
    streams: list[StreamRecovery]
    inflight: list[InFlightFate]


class SessionPingParams(Params):
    heads: Annotated[dict[Identifier, Seq], Field(max_length=MAX_STREAMS)] = Field(
        default={}, description="stream_id → position of the newest frame that arrived"
    )


class SessionPingResult(Result):
    session_id: str
    gen: int
    heads: dict[str, int] = Field(
        description="stream_id → position of the newest frame sent before this answer, for each stream of this socket"
    )
    behind: list[str] = Field(
        description="of the streams asked about: those this socket brings no more of. Without their end: resume"
    )
    resumable: bool | None = Field(
        description="false: the session is not stored (any more), open it again; null: cannot be told now"
    )
    timestamp: str
