"""The one table of methods: name, parameters, result. Validation, docs/protocol.md and the clients' types come from it.

Parameters ignore what they do not know (old clients send more than is used); results name every field they promise.
A method that streams answers with frames instead of one result; see `contracts/frames.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from pmcp_common.contracts.chat_models import MAX_DEADLINE_MS as MAX_DEADLINE_MS
from pmcp_common.contracts.chat_models import MAX_MESSAGE_BYTES as MAX_MESSAGE_BYTES
from pmcp_common.contracts.chat_models import MAX_TOKEN_BUDGET as MAX_TOKEN_BUDGET
from pmcp_common.contracts.chat_models import ChatParams as ChatParams
from pmcp_common.contracts.chat_models import ChatResult as ChatResult
from pmcp_common.contracts.chat_models import Message as Message
from pmcp_common.contracts.conversation_models import (
    ConversationAdvanceParams,
    ConversationAdvanceResult,
    ConversationEndParams,
    ConversationEndResult,
    ConversationHistoryParams,
    ConversationHistoryResult,
    ConversationSendParams,
    ConversationSendResult,
    ConversationStartParams,
    ConversationStartResult,
    ConversationStatusParams,
    ConversationStatusResult,
    SessionClearParams,
    SessionClearResult,
    VisualUpdateParams,
    VisualUpdateResult,
)
from pmcp_common.contracts.memories import Importance, MemoryType
from pmcp_common.contracts.memory_models import (
    MemoryGetStatsResult,
    MemoryStatsParams,
    MemoryStatsResult,
    MemoryStoreParams,
    MemoryStoreResult,
    PersonaMemoryParams,
    PersonaMemoryResult,
)
from pmcp_common.contracts.method_models import NoParams as NoParams
from pmcp_common.contracts.method_models import OfPlayer as OfPlayer
from pmcp_common.contracts.method_models import Params as Params
from pmcp_common.contracts.method_models import Result as Result
from pmcp_common.contracts.persona_models import (
    EmotionalGetStateParams,
    EmotionalGetStateResult,
    EmotionalUpdateStateParams,
    EmotionalUpdateStateResult,
    PersonaCreateParams,
    PersonaCreateResult,
    PersonaDeleteParams,
    PersonaDeleteResult,
    PersonaGetParams,
    PersonaGetResult,
    PersonaUpdateParams,
    PersonaUpdateResult,
)
from pmcp_common.contracts.personas import Identifier
from pmcp_common.contracts.relationship_models import (
    PersonaRelationshipParams,
    PersonaRelationshipResult,
    RelationshipCompatibilityParams,
    RelationshipCompatibilityResult,
    RelationshipGetParams,
    RelationshipGetResult,
    RelationshipListParams,
    RelationshipListResult,
    RelationshipStatsResult,
    RelationshipUpdateParams,
    RelationshipUpdateResult,
)
from pmcp_common.contracts.session_models import (
    SessionOpenParams,
    SessionOpenResult,
    SessionPingParams,
    SessionPingResult,
    SessionResumeParams,
    SessionResumeResult,
)


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
    total_personas: int | None = Field(description="null when the persona service is away")
    available_personas: int | None
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


class DiscoverResult(Result):
    openrpc: str = Field(description="version of the OpenRPC specification")
    info: dict[str, Any]
    methods: list[dict[str, Any]]
    components: dict[str, Any]


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
    Method("persona.get", PersonaGetParams, PersonaGetResult, "Everything a persona is."),
    Method("persona.create", PersonaCreateParams, PersonaCreateResult, "Make a persona; its name must be free."),
    Method("persona.update", PersonaUpdateParams, PersonaUpdateResult, "Change some of a persona: a new version."),
    Method(
        "persona.delete",
        PersonaDeleteParams,
        PersonaDeleteResult,
        "A persona answers nobody any more and its name is free; what was said is kept.",
    ),
    Method(
        "persona.relationship",
        PersonaRelationshipParams,
        PersonaRelationshipResult,
        "Deprecated: relationships of the active persona; use relationship.get or relationship.list.",
    ),
    Method("persona.chat", ChatParams, ChatResult, "Say something; the whole reply in one answer."),
    Method("persona.chat_stream", ChatParams, None, "Say something; the reply comes in frames as it is made."),
    Method(
        "conversation.send_message",
        ConversationSendParams,
        ConversationSendResult,
        "Say something as somebody in a room; the whole reply in one answer.",
    ),
    Method(
        "conversation.get_history",
        ConversationHistoryParams,
        ConversationHistoryResult,
        "What a player and a persona (or two personas) said, page by page.",
    ),
    Method(
        "conversation.start",
        ConversationStartParams,
        ConversationStartResult,
        "Two personas begin to talk; conversation.advance brings each turn.",
    ),
    Method(
        "conversation.advance",
        ConversationAdvanceParams,
        ConversationAdvanceResult,
        "The next turn of a talk between personas: a reply, or the farewell that ends it.",
    ),
    Method(
        "conversation.status",
        ConversationStatusParams,
        ConversationStatusResult,
        "How a talk stands; default: the session's own, else that with the active persona.",
    ),
    Method(
        "conversation.end",
        ConversationEndParams,
        ConversationEndResult,
        "End a talk: both personas rest from it. A player's conversation ends by leaving the persona.",
    ),
    Method(
        "visual.update",
        VisualUpdateParams,
        VisualUpdateResult,
        "What the player sees now: in the next prompts of this session.",
    ),
    Method("session.clear", SessionClearParams, SessionClearResult, "Begin anew: no persona, no talk, nothing seen."),
    Method("stream.cancel", StreamCancelParams, StreamCancelResult, "End a reply early. Repeating it is harmless."),
    Method("stream.read", StreamReadParams, StreamReadResult, "Events of a stream after a position, live or ended."),
    Method("memory.search", MemorySearchParams, MemorySearchResult, "What a persona remembers about a subject."),
    Method("memory.store", MemoryStoreParams, MemoryStoreResult, "Have a persona remember something."),
    Method("memory.stats", MemoryStatsParams, MemoryStatsResult, "Figures of what a persona remembers of a player."),
    Method("memory.get_stats", MemoryStatsParams, MemoryGetStatsResult, "The same in the words of other clients."),
    Method("persona.memory", PersonaMemoryParams, PersonaMemoryResult, "Deprecated: use memory.search."),
    Method(
        "relationship.get",
        RelationshipGetParams,
        RelationshipGetResult,
        "How two personas feel about each other, what moved it and why; or all relationships of one.",
    ),
    Method("relationship.list", RelationshipListParams, RelationshipListResult, "Whom a persona knows, and how well."),
    Method(
        "relationship.compatibility",
        RelationshipCompatibilityParams,
        RelationshipCompatibilityResult,
        "How well two personas fit: 0.35 personality, 0.25 social, 0.25 interests, 0.15 history.",
    ),
    Method("relationship.stats", NoParams, RelationshipStatsResult, "Figures over all relationships."),
    Method(
        "relationship.update",
        RelationshipUpdateParams,
        RelationshipUpdateResult,
        "Two personas spent time together; or their relationship is to be of this type and strength.",
    ),
    Method(
        "emotional.get_state",
        EmotionalGetStateParams,
        EmotionalGetStateResult,
        "A persona's mood now, what moved it and why.",
    ),
    Method("emotional.update_state", EmotionalUpdateStateParams, EmotionalUpdateStateResult, "Set a persona's mood."),
    Method("system.status", NoParams, SystemStatusResult, "Whether the parts work, and the session's persona."),
    Method("system.models", NoParams, SystemModelsResult, "Which model answers, as the workers verified it."),
    Method("rpc.discover", NoParams, DiscoverResult, "This table as an OpenRPC document."),
    Method("session.get_info", NoParams, SessionInfoResult, "This session: id, persona, counts."),
    Method("session.open", SessionOpenParams, SessionOpenResult, "Make this socket's session one that can be resumed."),
    Method(
        "session.resume",
        SessionResumeParams,
        SessionResumeResult,
        "Go on after a lost socket, on any gateway: first this answer, then what was missed, then live.",
    ),
    Method("session.ping", SessionPingParams, SessionPingResult, "Compare positions: a silent loss shows."),
)
METHODS: dict[str, Method] = {method.name: method for method in _METHODS}
