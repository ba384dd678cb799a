"""The life of single memories, as services exchange it: stored by a client, read, edited, merged, forgotten, exported.

Every request names persona and player: a memory of another player does not exist for it. Only a request without
player changes what the persona knows by itself.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, Field, model_validator

from pmcp_common.contracts.memories import (
    Importance,
    MemoryType,
    Metadata,
    Moment,
    RelatedPersonas,
    ToRemember,
    Turn,
    Valence,
    Visibility,
)
from pmcp_common.contracts.personas import Contract, Identifier

MAX_MEMORIES_PER_STORE = 1_000
MAX_MEMORIES_PER_MERGE = 64
MAX_MEMORIES_PER_PAGE = 100
MAX_RECORDS_PER_PAGE = 500
MAX_PAGE_BYTES = 256 * 1024
"""Of UTF-8 text: a page ends before it, but has one record at least."""


class MemoryToStore(Contract):
    """What a client wants remembered. Left out: importance and valence are judged by the words."""

    content: ToRemember
    memory_type: MemoryType = "conversation"
    importance: Importance | None = None
    emotional_valence: Valence | None = None
    visibility: Visibility = Visibility.PRIVATE
    related_personas: RelatedPersonas = ()
    occurred_at: Moment | None = Field(default=None, description="None: now")
    metadata: Metadata = Field(default_factory=dict)


class StoreMemories(Contract):
    persona_id: Identifier
    player_id: Identifier | None = Field(default=None, description="None: what the persona knows by itself")
    memories: Annotated[tuple[MemoryToStore, ...], Field(min_length=1, max_length=MAX_MEMORIES_PER_STORE)]


class StoredMemories(Contract):
    ids: tuple[Identifier, ...]


class MergedMemory(Contract):
    """What became part of another memory, as it was."""

    id: Identifier
    content: str
    memory_type: MemoryType
    source_message_ids: tuple[Identifier, ...]
    occurred_at: AwareDatetime
    created_at: AwareDatetime
    merged_at: AwareDatetime


class MemoryRecord(Contract):
    """All that is known of one memory, but its vector. Of another player's it tells what was shared, not by whom:
    player, session, sources, speaker and metadata are left empty."""

    id: Identifier
    persona_id: Identifier
    player_id: Identifier | None
    content: str
    memory_type: MemoryType
    importance: Importance
    initial_importance: Importance
    emotional_valence: Valence
    visibility: Visibility
    own: bool = Field(description="of the one who asks, who may change it")
    related_personas: tuple[Identifier, ...]
    participants: tuple[str, ...]
    speaker: str | None
    source_message_ids: tuple[Identifier, ...]
    session_id: str | None
    world_time: AwareDatetime | None
    occurred_at: AwareDatetime
    created_at: AwareDatetime
    updated_at: AwareDatetime
    accessed_count: int = Field(ge=0)
    last_accessed: AwareDatetime | None
    pinned: bool
    embedding_model: str
    embedding_dimension: int
    metadata: dict[str, Any]
    merged_from: tuple[MergedMemory, ...] = ()


class EditMemory(Contract):
    """Fields that are None stay as they are. Making a memory shared or public is this explicit act and no other."""

    persona_id: Identifier
    player_id: Identifier | None = Field(description="None: what the persona knows by itself, and only that")
    content: ToRemember | None = None
    memory_type: MemoryType | None = None
    importance: Importance | None = None
    emotional_valence: Valence | None = None
    visibility: Visibility | None = None
    pinned: bool | None = None
    related_personas: RelatedPersonas | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> EditMemory:
        if self.model_fields_set <= {"persona_id", "player_id"}:
            raise ValueError("nothing to change")
        return self


class MergeMemories(Contract):
    """The others become part of `into`, which keeps its text and gains their sources; their texts stay in
    `merged_from`."""

    persona_id: Identifier
    player_id: Identifier | None = Field(description="None: what the persona knows by itself, and only that")
    into: Identifier
    others: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=MAX_MEMORIES_PER_MERGE)]

    @model_validator(mode="after")
    def _needs_another(self) -> MergeMemories:
        if set(self.others) <= {self.into}:
            raise ValueError("nothing to merge but the memory itself")
        return self


class Erased(Contract):
    """What went with a forgotten memory, itself included."""

    memories: int = Field(ge=0)
    turns: int = Field(ge=0)
    summaries: int = Field(ge=0)


class SummaryRecord(Contract):
    conversation_id: Identifier
    persona_id: Identifier
    content: str
    updated_at: AwareDatetime


class WaitingMessage(Contract):
    """Accepted, and not seen to end yet."""

    job_id: Identifier
    persona_id: Identifier | None = Field(description="None: the session's active one")
    message: str
    accepted_at: AwareDatetime


class MemoryPage(Contract):
    """What a player may see of a persona's memories, the newest first."""

    memories: tuple[MemoryRecord, ...]
    has_more: bool


class ExportPage(Contract):
    """The next of a player's records: all memories, then all turns, all summaries, all waiting messages. `after` of the
    next page is `next`; None: that was all."""

    player_id: Identifier
    memories: tuple[MemoryRecord, ...] = ()
    turns: tuple[Turn, ...] = ()
    summaries: tuple[SummaryRecord, ...] = ()
    waiting: tuple[WaitingMessage, ...] = ()
    next: str | None
