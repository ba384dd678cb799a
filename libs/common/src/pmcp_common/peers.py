"""Ports: the persona and memory services as other processes see them.

Every method raises `Unavailable` when the peer cannot be reached in time, and the peer's own coded error otherwise.
Adapter: `peers_http`.
"""

from __future__ import annotations

from typing import Protocol

from pmcp_common.contracts.conversations import (
    ConversationFacts,
    ExchangePage,
    Forgotten,
    SummaryDraft,
    SummaryTask,
)
from pmcp_common.contracts.learning import LearningDraft, LearningTask
from pmcp_common.contracts.memories import (
    CommitTurns,
    ContextRequest,
    ContextResponse,
    MemoryStats,
    RecallRequest,
    RecallResponse,
    RememberRequest,
    Turn,
)
from pmcp_common.contracts.memory_life import (
    EditMemory,
    Erased,
    ExportPage,
    MemoryPage,
    MemoryRecord,
    MergeMemories,
    StoredMemories,
    StoreMemories,
)
from pmcp_common.contracts.memory_sharing import SharedFound, SharedSearch, SharedStats
from pmcp_common.contracts.memory_tending import (
    CycleDone,
    DecayFigures,
    DecaySwitch,
    Faded,
    FadeRequest,
    Pruned,
    PrunedAll,
    PruneFigures,
    PruneOutlook,
    PruneRequest,
)
from pmcp_common.contracts.personas import (
    ConversationEnd,
    Interaction,
    InteractionState,
    Persona,
    PersonaChange,
    PersonaDeleted,
    PersonaDraft,
    PersonaTurnContext,
    PersonaView,
)
from pmcp_common.contracts.relationships import (
    Compatibility,
    Emotion,
    EmotionChange,
    Meeting,
    RelationshipBetween,
    RelationshipList,
    RelationshipSetting,
    RelationshipStats,
    RelationshipWithPlayer,
)
from pmcp_common.contracts.saves import (
    LoadPersonas,
    PersonasLoaded,
    PersonasSaved,
    PlayerForgotten,
    SaveRecord,
    SaveWorld,
    WorldLoaded,
)


class PersonaPeer(Protocol):
    async def list(self, tenant: str, player_id: str) -> tuple[PersonaView, ...]: ...

    async def get(self, tenant: str, reference: str, player_id: str) -> PersonaView:
        """By id or name, case-insensitive. Raises PersonaNotFound."""
        ...

    async def turn_context(
        self, tenant: str, persona_id: str, player_id: str, known_version: int | None
    ) -> PersonaTurnContext: ...

    async def record_interaction(self, tenant: str, persona_id: str, interaction: Interaction) -> InteractionState: ...

    async def end_conversation(self, tenant: str, reference: str, end: ConversationEnd) -> InteractionState: ...


class CharacterPeer(PersonaPeer, Protocol):
    """Also who the personas are, how they feel, and how they stand to each other. References are ids or names."""

    async def create(self, tenant: str, draft: PersonaDraft) -> Persona: ...

    async def update(self, tenant: str, reference: str, change: PersonaChange) -> Persona: ...

    async def delete(self, tenant: str, reference: str) -> PersonaDeleted: ...

    async def relationship(self, tenant: str, one: str, other: str) -> RelationshipBetween:
        """This and the other three about two raise PersonasNotFound."""
        ...

    async def meet(self, tenant: str, one: str, other: str, meeting: Meeting) -> RelationshipBetween: ...

    async def set_relationship(
        self, tenant: str, one: str, other: str, setting: RelationshipSetting
    ) -> RelationshipBetween: ...

    async def compatibility(self, tenant: str, one: str, other: str) -> Compatibility: ...

    async def relationships(self, tenant: str, reference: str, player_id: str) -> RelationshipList: ...

    async def relationship_with_player(self, tenant: str, reference: str, player_id: str) -> RelationshipWithPlayer: ...

    async def relationship_stats(self, tenant: str) -> RelationshipStats: ...

    async def emotions(self, tenant: str, reference: str, player_id: str) -> Emotion: ...

    async def set_emotions(self, tenant: str, reference: str, change: EmotionChange) -> Emotion: ...


class MemoryPeer(Protocol):
    async def context(self, tenant: str, request: ContextRequest) -> ContextResponse: ...

    async def commit(self, tenant: str, turns: CommitTurns) -> int:
        """Store turns once (idempotent by message id), all or none; returns how many were new."""
        ...

    async def remember(self, tenant: str, request: RememberRequest) -> int: ...

    async def turn(self, tenant: str, message_id: str) -> Turn | None: ...

    async def search(self, tenant: str, request: RecallRequest) -> RecallResponse: ...

    async def stats(self, tenant: str, persona_id: str, player_id: str) -> MemoryStats: ...


class KeepingPeer(Protocol):
    """The memory service's single memories, shared ones, and all of a player. Raises NotFound for a memory that is not
    there, or not this player's to see or to change."""

    async def store(self, tenant: str, memories: StoreMemories) -> StoredMemories: ...

    async def list_memories(
        self,
        tenant: str,
        persona_id: str,
        player_id: str,
        *,
        limit: int,
        before: str | None,
        memory_type: str | None,
        visibility: str | None,
    ) -> MemoryPage: ...

    async def read(self, tenant: str, persona_id: str, player_id: str, memory_id: str) -> MemoryRecord: ...

    async def edit(self, tenant: str, memory_id: str, change: EditMemory) -> MemoryRecord: ...

    async def merge(self, tenant: str, request: MergeMemories) -> MemoryRecord: ...

    async def forget(self, tenant: str, persona_id: str, player_id: str, memory_id: str) -> Erased: ...

    async def export_page(self, tenant: str, player_id: str, after: str | None, limit: int) -> ExportPage: ...

    async def search_shared(self, tenant: str, request: SharedSearch) -> SharedFound: ...

    async def shared_stats(self, tenant: str) -> SharedStats: ...


class TendingPeer(Protocol):
    """The memory service's decay and pruning. May take up to a minute."""

    async def prune(self, tenant: str, request: PruneRequest) -> Pruned: ...

    async def prune_all(self, tenant: str, *, dry_run: bool) -> PrunedAll: ...

    async def prune_outlook(self, tenant: str, persona_id: str, player_id: str) -> PruneOutlook: ...

    async def prune_figures(self, tenant: str) -> PruneFigures: ...

    async def switch_decay(self, tenant: str, wanted: DecaySwitch) -> DecayFigures: ...

    async def decay_figures(self, tenant: str) -> DecayFigures: ...

    async def force_cycle(self, tenant: str) -> CycleDone: ...

    async def fade(self, tenant: str, request: FadeRequest) -> Faded: ...


class SavesPeer(Protocol):
    """Both parts of a save: the persona service's and the memory service's, which is the one that counts."""

    async def save_personas(self, tenant: str, save_id: str, player_id: str) -> PersonasSaved:
        """Repeating it changes nothing."""
        ...

    async def load_personas(self, tenant: str, save_id: str, told: LoadPersonas) -> PersonasLoaded: ...

    async def forget_personas(self, tenant: str, player_id: str) -> PlayerForgotten: ...

    async def save_world(self, tenant: str, world: SaveWorld) -> SaveRecord: ...

    async def find(self, tenant: str, player_id: str, save_id: str | None) -> SaveRecord:
        """None: the newest that the player made. Raises NotFound, for a save of another player too."""
        ...

    async def list(self, tenant: str, player_id: str, limit: int) -> tuple[SaveRecord, ...]: ...

    async def load_world(self, tenant: str, save_id: str, leaving: SaveWorld) -> WorldLoaded:
        """Takes as long as what it changes is large: minutes at most."""
        ...


class LearningPeer(Protocol):
    """The memory service's turns that a model may learn from, and what it learned."""

    async def learning_task(
        self, tenant: str, conversation_id: str, persona_id: str, player_id: str, *, batch: int
    ) -> LearningTask: ...

    async def learn(self, tenant: str, conversation_id: str, draft: LearningDraft) -> int:
        """How many memories are new. Repeating it changes nothing. Raises Conflict when a turn was forgotten or has
        changed since it was read."""
        ...


class ConversationPeer(Protocol):
    """The memory service's conversations. A side is conversation, persona and player."""

    async def facts(self, tenant: str, conversation_id: str, persona_id: str, player_id: str) -> ConversationFacts: ...

    async def exchanges(
        self, tenant: str, conversation_id: str, persona_id: str, player_id: str, limit: int, before_id: str | None
    ) -> ExchangePage:
        """Raises NotFound for a `before_id` that is not in the conversation."""
        ...

    async def summary_task(
        self, tenant: str, conversation_id: str, persona_id: str, player_id: str, *, keep: int, after: int, batch: int
    ) -> SummaryTask: ...

    async def write_summary(self, tenant: str, conversation_id: str, draft: SummaryDraft) -> int:
        """The new version. Raises Conflict when another summary was written meanwhile."""
        ...

    async def forget_player(self, tenant: str, player_id: str) -> Forgotten: ...
