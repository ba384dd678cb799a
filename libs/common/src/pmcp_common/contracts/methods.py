"""The one table of methods: name, parameters, result. Validation, docs/protocol.md and the clients' types come from it.

Parameters ignore what they do not know (old clients send more than is used); results name every field they promise.
A method that streams answers with frames instead of one result; see `contracts/frames.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

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
from pmcp_common.contracts.memory_life_models import (
    MemoryEditParams,
    MemoryEraseParams,
    MemoryEraseResult,
    MemoryExportParams,
    MemoryExportResult,
    MemoryForgetParams,
    MemoryForgetResult,
    MemoryGetParams,
    MemoryListParams,
    MemoryListResult,
    MemoryMergeParams,
    MemoryPinParams,
    MemoryRecordResult,
)
from pmcp_common.contracts.memory_models import (
    MemoryGetStatsResult,
    MemorySearchParams,
    MemorySearchResult,
    MemoryStatsParams,
    MemoryStatsResult,
    MemoryStoreParams,
    MemoryStoreResult,
    PersonaMemoryParams,
    PersonaMemoryResult,
)
from pmcp_common.contracts.memory_sharing_models import (
    MemorySearchCrossPersonaParams,
    MemorySearchCrossPersonaResult,
    MemorySharedStatsResult,
)
from pmcp_common.contracts.memory_tending_models import (
    MemoryDecayForceParams,
    MemoryDecayForceResult,
    MemoryDecayStartResult,
    MemoryDecayStatsResult,
    MemoryDecayStopResult,
    MemoryPruneAllParams,
    MemoryPruneAllResult,
    MemoryPruneParams,
    MemoryPruneRecommendationsParams,
    MemoryPruneRecommendationsResult,
    MemoryPruneResult,
    MemoryPruneStatsResult,
)
from pmcp_common.contracts.method_models import NoParams as NoParams
from pmcp_common.contracts.method_models import OfPlayer as OfPlayer
from pmcp_common.contracts.method_models import Params as Params
from pmcp_common.contracts.method_models import Result as Result
from pmcp_common.contracts.persona_choice_models import (
    PersonaListResult,
    PersonaStatusParams,
    PersonaStatusResult,
    PersonaSwitchParams,
    PersonaSwitchResult,
)
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
from pmcp_common.contracts.state_models import (
    StateListParams,
    StateListResult,
    StateLoadParams,
    StateLoadResult,
    StateSaveParams,
    StateSaveResult,
)
from pmcp_common.contracts.stream_models import (
    StreamCancelParams,
    StreamCancelResult,
    StreamReadParams,
    StreamReadResult,
)


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
    repeatable: bool = False
    """Twice does what once does: it reads, or says how something is to be."""

    @property
    def keyed(self) -> bool:
        """A message: repeatable under its idempotency key."""
        return "idempotency_key" in self.params.model_fields


_again = partial(Method, repeatable=True)

_METHODS = (
    _again("persona.list", OfPlayer, PersonaListResult, "All personas and whether each has time for this player."),
    _again("persona.switch", PersonaSwitchParams, PersonaSwitchResult, "Choose whom this session talks to."),
    _again(
        "persona.status", PersonaStatusParams, PersonaStatusResult, "A persona, its state and its memories' figures."
    ),
    _again("persona.get", PersonaGetParams, PersonaGetResult, "Everything a persona is."),
    Method("persona.create", PersonaCreateParams, PersonaCreateResult, "Make a persona; its name must be free."),
    Method("persona.update", PersonaUpdateParams, PersonaUpdateResult, "Change some of a persona: a new version."),
    Method(
        "persona.delete",
        PersonaDeleteParams,
        PersonaDeleteResult,
        "A persona answers nobody any more and its name is free; what was said is kept.",
    ),
    _again(
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
    _again(
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
    _again(
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
    Method("state.save", StateSaveParams, StateSaveResult, "Keep this moment of the player's world under an id."),
    Method(
        "state.load",
        StateLoadParams,
        StateLoadResult,
        "The player's world is as it was at a save, in this session; what came after is hidden, not lost.",
    ),
    _again("state.list", StateListParams, StateListResult, "The saves of this player."),
    _again("stream.cancel", StreamCancelParams, StreamCancelResult, "End a reply early. Repeating it is harmless."),
    _again("stream.read", StreamReadParams, StreamReadResult, "Events of a stream after a position, live or ended."),
    _again("memory.search", MemorySearchParams, MemorySearchResult, "What a persona remembers about a subject."),
    Method("memory.store", MemoryStoreParams, MemoryStoreResult, "Have a persona remember something."),
    _again("memory.stats", MemoryStatsParams, MemoryStatsResult, "Figures of what a persona remembers of a player."),
    _again("memory.get_stats", MemoryStatsParams, MemoryGetStatsResult, "The same in the words of other clients."),
    _again("memory.list", MemoryListParams, MemoryListResult, "A persona's memories, as the player may see them."),
    _again("memory.get", MemoryGetParams, MemoryRecordResult, "One memory, with all that is known of it."),
    Method("memory.edit", MemoryEditParams, MemoryRecordResult, "Change one's own memory: text, weight, who sees it."),
    Method("memory.pin", MemoryPinParams, MemoryRecordResult, "A pinned memory neither fades nor is pruned."),
    Method("memory.merge", MemoryMergeParams, MemoryRecordResult, "Make several memories of one's own into one."),
    Method(
        "memory.forget",
        MemoryForgetParams,
        MemoryForgetResult,
        "Forget one memory for good, with the turns it was made of and what was told of them.",
    ),
    _again("memory.export", MemoryExportParams, MemoryExportResult, "All that is kept of a player, page by page."),
    _again(
        "memory.erase",
        MemoryEraseParams,
        MemoryEraseResult,
        "Erase all that is kept of a player, with every persona and in every save. Repeating it is harmless.",
    ),
    Method(
        "memory.prune",
        MemoryPruneParams,
        MemoryPruneResult,
        "Of more than 900 memories of a player with a persona, forget those least worth keeping, down to 800.",
    ),
    Method("memory.prune_all", MemoryPruneAllParams, MemoryPruneAllResult, "The same for every player and persona."),
    _again(
        "memory.prune_recommendations",
        MemoryPruneRecommendationsParams,
        MemoryPruneRecommendationsResult,
        "What memory.prune would do now; nothing is changed.",
    ),
    _again("memory.prune_stats", NoParams, MemoryPruneStatsResult, "Figures of all pruning so far."),
    _again(
        "memory.decay_start",
        NoParams,
        MemoryDecayStartResult,
        "Have memories fade and be pruned by themselves, as they do unless stopped. Repeating it is harmless.",
    ),
    _again(
        "memory.decay_stop", NoParams, MemoryDecayStopResult, "No more of it until started. Repeating it is harmless."
    ),
    _again("memory.decay_stats", NoParams, MemoryDecayStatsResult, "Whether memories fade, how, and figures of it."),
    Method(
        "memory.decay_force",
        MemoryDecayForceParams,
        MemoryDecayForceResult,
        "Take a share of the importance of a player's memories with a persona; without one, a whole cycle now.",
    ),
    _again(
        "memory.search_cross_persona",
        MemorySearchCrossPersonaParams,
        MemorySearchCrossPersonaResult,
        "What personas have shared or made public about a subject.",
    ),
    _again("memory.shared_stats", NoParams, MemorySharedStatsResult, "Figures of shared and public memories."),
    _again("persona.memory", PersonaMemoryParams, PersonaMemoryResult, "Deprecated: use memory.search."),
    _again(
        "relationship.get",
        RelationshipGetParams,
        RelationshipGetResult,
        "How two personas feel about each other, what moved it and why; or all relationships of one.",
    ),
    _again("relationship.list", RelationshipListParams, RelationshipListResult, "Whom a persona knows, and how well."),
    _again(
        "relationship.compatibility",
        RelationshipCompatibilityParams,
        RelationshipCompatibilityResult,
        "How well two personas fit: 0.35 personality, 0.25 social, 0.25 interests, 0.15 history.",
    ),
    _again("relationship.stats", NoParams, RelationshipStatsResult, "Figures over all relationships."),
    Method(
        "relationship.update",
        RelationshipUpdateParams,
        RelationshipUpdateResult,
        "Two personas spent time together; or their relationship is to be of this type and strength.",
    ),
    _again(
        "emotional.get_state",
        EmotionalGetStateParams,
        EmotionalGetStateResult,
        "A persona's mood now, what moved it and why.",
    ),
    Method("emotional.update_state", EmotionalUpdateStateParams, EmotionalUpdateStateResult, "Set a persona's mood."),
    _again("system.status", OfPlayer, SystemStatusResult, "Whether the parts work, and the session's persona."),
    _again("system.models", NoParams, SystemModelsResult, "Which model answers, as the workers verified it."),
    _again("rpc.discover", NoParams, DiscoverResult, "This table as an OpenRPC document."),
    _again("session.get_info", NoParams, SessionInfoResult, "This session: id, persona, counts."),
    Method("session.open", SessionOpenParams, SessionOpenResult, "Make this socket's session one that can be resumed."),
    Method(
        "session.resume",
        SessionResumeParams,
        SessionResumeResult,
        "Go on after a lost socket, on any gateway: first this answer, then what was missed, then live.",
    ),
    _again("session.ping", SessionPingParams, SessionPingResult, "Compare positions: a silent loss shows."),
)
METHODS: dict[str, Method] = {method.name: method for method in _METHODS}
