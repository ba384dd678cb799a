"""Parameters and results of what a player does with single memories and with all of its data: rows of `methods`.

A memory of another player is only there when it was shared or made public, and is never changed.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pmcp_common.contracts.memories import (
    MAX_RELATED_PERSONAS,
    Importance,
    MemoryType,
    ToRemember,
    Turn,
    Valence,
    Visibility,
)
from pmcp_common.contracts.memory_life import (
    MAX_MEMORIES_PER_MERGE,
    MAX_MEMORIES_PER_PAGE,
    MAX_RECORDS_PER_PAGE,
    Erased,
    MemoryRecord,
    SummaryRecord,
    WaitingMessage,
)
from pmcp_common.contracts.method_models import OfPlayer, Result
from pmcp_common.contracts.personas import Identifier

RelatedReferences = Annotated[list[Identifier], Field(max_length=MAX_RELATED_PERSONAS)]
_CHANGES = (
    "content",
    "memory_type",
    "importance",
    "emotional_valence",
    "visibility",
    "pinned",
    "related_personas",
)


class OfPersona(OfPlayer):
    persona_id: Identifier | None = Field(default=None, description="default: the active persona")


class MemoryListParams(OfPersona):
    limit: int = Field(default=20, ge=1, le=MAX_MEMORIES_PER_PAGE)
    before_id: Identifier | None = Field(default=None, description="of the last memory of the page before")
    memory_type: MemoryType | None = None
    visibility: Visibility | None = None


class MemoryListResult(Result):
    memories: list[MemoryRecord] = Field(description="the newest first; a page also ends at 256 KiB of text")
    has_more: bool


class MemoryGetParams(OfPersona):
    memory_id: Identifier


class MemoryRecordResult(Result):
    memory: MemoryRecord


class MemoryEditParams(OfPersona):
    """Fields that are missing stay as they are."""

    memory_id: Identifier
    content: ToRemember | None = None
    memory_type: MemoryType | None = None
    importance: Importance | None = None
    emotional_valence: Valence | None = None
    visibility: Visibility | None = Field(default=None, description="making it shared or public is this explicit act")
    pinned: bool | None = None
    related_personas: RelatedReferences | None = Field(default=None, description="ids or names of personas")

    @model_validator(mode="after")
    def _changes_something(self) -> MemoryEditParams:
        if all(getattr(self, name) is None for name in _CHANGES):
            raise ValueError("nothing to change")
        return self


class MemoryPinParams(OfPersona):
    memory_id: Identifier
    pinned: bool = Field(default=True, description="false: it fades and may be pruned again")


class MemoryMergeParams(OfPersona):
    memory_id: Identifier = Field(description="stays, with its text, and gains the sources of the others")
    other_ids: Annotated[list[Identifier], Field(min_length=1, max_length=MAX_MEMORIES_PER_MERGE)]

    @model_validator(mode="after")
    def _needs_another(self) -> MemoryMergeParams:
        if set(self.other_ids) <= {self.memory_id}:
            raise ValueError("nothing to merge but the memory itself")
        return self


class MemoryForgetParams(OfPersona):
    memory_id: Identifier


class MemoryForgetResult(Result):
    memory_id: str
    forgotten: bool
    erased: Erased = Field(description="what went with it: turns it was made of, summaries that told them")


class MemoryExportParams(OfPlayer):
    after: Annotated[str, Field(min_length=1, max_length=250)] | None = Field(
        default=None, description="`next` of the page before; default: from the beginning"
    )
    limit: int = Field(default=100, ge=1, le=MAX_RECORDS_PER_PAGE)


class MemoryExportResult(Result):
    """The next of all that is kept of a player, with every persona. A page also ends at 256 KiB of text."""

    player_id: str
    memories: list[MemoryRecord]
    turns: list[Turn]
    summaries: list[SummaryRecord]
    waiting: list[WaitingMessage] = Field(description="messages that are being answered")
    next: str | None = Field(description="null: that was all")


class MemoryEraseParams(OfPlayer):
    pass


class MemoryEraseResult(Result):
    player_id: str
    erased: bool
    turns: int
    memories: int
    interaction_states: int = Field(description="how personas stood towards the player: energy, time, fatigue")
    relationships: int = Field(description="of personas with the player")
    saves: int = Field(description="of state.save, in which personas stood")
