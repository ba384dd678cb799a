"""Parameters and results of memory.search, store, stats, get_stats and persona.memory: rows of `methods`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from pmcp_common.contracts.chat_models import Message
from pmcp_common.contracts.memories import (
    Importance,
    MemoryType,
    Metadata,
    Moment,
    RecalledMemory,
    ToRemember,
    Valence,
    Visibility,
)
from pmcp_common.contracts.memory_life_models import RelatedReferences
from pmcp_common.contracts.method_models import OfPlayer, Result
from pmcp_common.contracts.personas import Identifier

_OF_PERSONA = "default: the active persona"


class MemorySearchParams(OfPlayer):
    query: Message
    persona_id: Identifier | None = Field(default=None, description=_OF_PERSONA)
    n_results: int = Field(default=5, ge=1, le=100)
    memory_type: MemoryType | None = None
    min_importance: Importance = 0.0
    as_of: Moment | None = Field(default=None, description="only what had happened by then")


class MemorySearchResult(Result):
    memories: list[RecalledMemory] = Field(description="best first; `reasons` are the parts that `score` is the sum of")
    query: str
    result_count: int


class MemoryStoreParams(OfPlayer):
    content: ToRemember
    persona_id: Identifier | None = Field(default=None, description=_OF_PERSONA)
    memory_type: MemoryType = "user_input"
    importance: Importance = 0.5
    emotional_valence: Valence = 0.0
    related_personas: RelatedReferences = Field(default_factory=list, description="ids or names of personas")
    visibility: Visibility = Field(
        default=Visibility.PRIVATE, description="private: this player and persona; shared: any persona; public: anyone"
    )
    metadata: Metadata = Field(default_factory=dict)


class MemoryStoreResult(Result):
    memory_id: str
    stored: bool


class MemoryStatsParams(OfPlayer):
    persona_id: Identifier | None = Field(default=None, description=_OF_PERSONA)


class MemoryStatsResult(Result):
    """An empty store has only `total_memories`."""

    total_memories: int
    avg_importance: float | None = None
    memory_types: dict[str, int] | None = None
    high_importance_count: int | None = Field(default=None, description="of at least 0.7")
    created_today: int | None = Field(default=None, description="since midnight UTC")
    stats_calculation_time_ms: float | None = None


class MemoryGetStatsResult(Result):
    total_memories: int
    memory_types: dict[str, int]
    average_importance: float | None
    oldest_memory: str | None
    newest_memory: str | None


class PersonaMemoryParams(OfPlayer):
    query: str = Field(default="", max_length=8192, description="empty: whatever comes to mind")
    limit: int = Field(default=5, ge=1, le=100)


class PersonaMemoryResult(Result):
    memories: list[dict[str, Any]] = Field(description="content, importance, memory_type, created_at")
    query: str
    total_found: int
