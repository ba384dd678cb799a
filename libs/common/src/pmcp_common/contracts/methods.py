"""The one table of methods: name, parameters, result. Validation, docs/protocol.md and the clients' types come from it.

Parameters ignore what they do not know (old clients send more than is used); results name every field they promise.
A method that streams answers with frames instead of one result; see `contracts/frames.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from pmcp_common.contracts.memories import Importance, MemoryType
from pmcp_common.contracts.method_models import NoParams as NoParams
from pmcp_common.contracts.method_models import OfPlayer as OfPlayer
from pmcp_common.contracts.method_models import Params as Params
from pmcp_common.contracts.method_models import Result as Result
from pmcp_common.contracts.personas import Identifier
from pmcp_common.contracts.session_models import (
    SessionOpenParams,
    SessionOpenResult,
    SessionPingParams,
    SessionPingResult,
    SessionResumeParams,
    SessionResumeResult,
)

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


class PersonaListItem(Result):
    id: str
    name: str
    description: str
    available: bool
    social_energy: int
    current_priority: str
    cooldown_remaining: float = Field(ge=0, description="seconds")
    personality_traits: dict[str, Any]
    created_at: str


class PersonaListResult(Result):
    personas: list[PersonaListItem]
    total_count: int
    available_count: int


class PersonaSwitchParams(OfPlayer):
    persona_id: Identifier = Field(description="an id or a name, case-insensitive")


class PersonaSwitchResult(Result):
    persona_id: str
    name: str
    description: str
    status: Literal["active"]
    social_energy: int
    available_time: int = Field(description="seconds")
    current_priority: str
    message: str
    session_id: str
    conversation_id: str


class PersonaStatusParams(OfPlayer):
    persona_id: Identifier | None = Field(default=None, description="default: the active persona")


class PersonaStatusPersona(Result):
    id: str
    name: str
    description: str
    personality_traits: dict[str, Any]
    topic_preferences: dict[str, int]
    charisma: int
    intelligence: int
    social_rank: str


class PersonaStatusState(Result):
    interest_level: int
    interaction_fatigue: int
    current_priority: str
    available_time: int
    social_energy: int
    cooldown_until: float
    is_available: bool


class PersonaStatusResult(Result):
    persona: PersonaStatusPersona
    interaction_state: PersonaStatusState
    memory_stats: dict[str, Any] = Field(description="as memory.stats; {error} when the memory service is away")


class ChatParams(OfPlayer):
    message: Message
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


class ChatResult(Result):
    response: str
    response_type: str = Field(description="direct, or fallback for a canned line")
    continue_score: float | None
    tokens_used: int
    processing_time: float = Field(description="seconds from acceptance")
    persona_state: dict[str, Any] = Field(description="social_energy, available_time, interaction_fatigue")
    persona_id: str
    persona_name: str
    stream_id: str
    message_id: str
    state: str
    finish_reason: str
    degraded: bool
    persisted: bool
    memory: str
    model: str
    provider: str
    sha256: str


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


class MemorySearchParams(OfPlayer):
    query: Message
    persona_id: Identifier | None = Field(default=None, description="default: the active persona")
    n_results: int = Field(default=5, ge=1, le=100)
    memory_type: MemoryType | None = None
    min_importance: Importance = 0.0


class MemorySearchResult(Result):
    memories: list[dict[str, Any]]
    query: str
    result_count: int


class SystemStatusResult(Result):
    system_status: Literal["operational", "degraded"]
    llm_available: bool
    total_personas: int
    available_personas: int
    active_conversations: int = Field(description="conversations with a message in the last hour")
    current_persona: str | None
    current_conversation: str | None
    timestamp: str


class SystemModelsResult(Result):
    available_models: list[str]
    current_model: str | None
    provider: str | None = Field(description="ollama or openai, as the workers report; null when no worker lives")
    llm_available: bool
    last_answered_model: str | None = Field(description="the model named by the newest real reply")
    reason: str | None = Field(description="why no model answers, when none does")


class SessionInfoResult(Result):
    session_id: str
    active_persona_id: str | None
    active_persona_name: str | None
    connection_time: str
    message_count: int


@dataclass(frozen=True, slots=True)
class Method:
    name: str
    params: type[Params]
    result: type[Result] | None
    """None: the method streams."""
    summary: str


_METHODS = (
    Method("persona.list", OfPlayer, PersonaListResult, "All personas and whether each has time for this player."),
    Method("persona.switch", PersonaSwitchParams, PersonaSwitchResult, "Choose whom this session talks to."),
    Method(
        "persona.status", PersonaStatusParams, PersonaStatusResult, "A persona, its state and its memories' figures."
    ),
    Method("persona.chat", ChatParams, ChatResult, "Say something; the whole reply in one answer."),
    Method("persona.chat_stream", ChatParams, None, "Say something; the reply comes in frames as it is made."),
    Method("stream.cancel", StreamCancelParams, StreamCancelResult, "End a reply early. Repeating it is harmless."),
    Method("stream.read", StreamReadParams, StreamReadResult, "Events of a stream after a position, live or ended."),
    Method("memory.search", MemorySearchParams, MemorySearchResult, "What a persona remembers about a subject."),
    Method("system.status", NoParams, SystemStatusResult, "Whether the parts work, and the session's persona."),
    Method("system.models", NoParams, SystemModelsResult, "Which model answers, as the workers verified it."),
    Method("session.get_info", NoParams, SessionInfoResult, "This session: id, persona, counts."),
    Method(
        "session.open", SessionOpenParams, SessionOpenResult, "Make this socket's session one that can be resumed."
    ),
    Method(
        "session.resume",
        SessionResumeParams,
        SessionResumeResult,
        "Go on after a lost socket, on any gateway: first this answer, then what was missed, then live.",
    ),
    Method("session.ping", SessionPingParams, SessionPingResult, "Compare positions: a silent loss shows."),
)
METHODS: dict[str, Method] = {method.name: method for method in _METHODS}
