"""What personas know of each other's memories: those made shared or public, searched and counted."""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from pmcp_common.contracts.memories import Content, Importance, MemoryType, Visibility
from pmcp_common.contracts.personas import Contract, Identifier

MAX_SHARED_RESULTS = 50


class SharedSearch(Contract):
    """Private memories are never found, not even one's own."""

    persona_id: Identifier
    player_id: Identifier
    query: Content
    n_results: int = Field(default=10, ge=1, le=MAX_SHARED_RESULTS)
    min_importance: Importance = 0.6
    include_shared: bool = True
    include_public: bool = True


class SharedMemory(Contract):
    id: Identifier
    persona_id: Identifier
    content: str
    similarity: float = Field(ge=-1.001, le=1.001, description="cosine to the query")
    importance: Importance
    memory_type: MemoryType
    related_personas: tuple[Identifier, ...]
    visibility: Visibility
    created_at: AwareDatetime


class SharedFound(Contract):
    memories: tuple[SharedMemory, ...] = Field(description="the most similar first")


class SharedCounts(Contract):
    persona_id: Identifier
    shared: int = Field(ge=0)
    public: int = Field(ge=0)
    cross_references: int = Field(ge=0, description="shared and public memories that are about other personas")


class SharedStats(Contract):
    """Personas without such memories are left out."""

    personas: tuple[SharedCounts, ...]
