"""Parameters and results of a message to a persona, whichever method brings it: rows of `methods`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from pmcp_common.contracts.method_models import OfPlayer, Result
from pmcp_common.contracts.personas import Identifier

MAX_MESSAGE_BYTES = 32 * 1024
MAX_TOKEN_BUDGET = 8192
MAX_DEADLINE_MS = 300_000


def _message(value: str) -> str:
    if not value.strip():
        raise ValueError("is required")
    if "\x00" in value:
        raise ValueError("must not contain NUL characters")
    if len(value.encode()) > MAX_MESSAGE_BYTES:
        raise ValueError(f"is over {MAX_MESSAGE_BYTES} bytes")
    return value


Message = Annotated[str, AfterValidator(_message)]
"""What a player says: not blank, no NUL, at most 32 KiB of UTF-8."""


class ReplyOptions(OfPlayer):
    token_budget: int = Field(default=500, ge=1, le=MAX_TOKEN_BUDGET, description="at most this many output tokens")
    persona_id: Identifier | None = Field(
        default=None, description="an id or a name; default: the active persona, which stays as it is"
    )
    idempotency_key: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="the same key within 24 h gives the same reply, not a second one"
    )
    deadline_ms: Annotated[int, Field(strict=True, ge=1, le=MAX_DEADLINE_MS)] | None = Field(
        default=None, description="from acceptance to the end of the reply: the whole, a shortened or a canned one"
    )
    on_interrupt: Literal["continue", "reset", "stop"] = Field(
        default="continue",
        description="when the socket is lost and not resumed in time: go on, end the reply and keep none of it as "
        "memory, or end it",
    )


class ChatParams(ReplyOptions):
    message: Message


class ChatResult(Result):
    response: str
    response_type: str = Field(description="direct, closing for a farewell, or fallback for a canned line")
    continue_score: float | None = Field(description="0..100, by which the reply was routed")
    score_parts: dict[str, float] = Field(description="what the score is made of; fatigue counts against it")
    routing: str = Field(description="full, shortened, constrained or closing; none: it ended before it was routed")
    tokens_used: int
    processing_time: float = Field(description="seconds from acceptance")
    persona_state: dict[str, Any] = Field(description="social_energy, available_time, interaction_fatigue")
    persona_id: str
    persona_name: str
    stream_id: str
    message_id: str
    state: str
    finish_reason: str
    rung: str = Field(description="full; shortened to be on time; canned: a line that no model made")
    degraded: bool
    reason: str | None = Field(
        description="why it is degraded; for a missing model its name and the command that gets it"
    )
    persisted: bool
    memory: str = Field(description="ok, or unavailable: made without recall; none: it ended before that")
    model: str
    provider: str
    sha256: str
