"""Parameters and results of memory.search_cross_persona and memory.shared_stats: rows of `methods`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pmcp_common.contracts.chat_models import Message
from pmcp_common.contracts.memories import Importance
from pmcp_common.contracts.memory_sharing import MAX_SHARED_RESULTS
from pmcp_common.contracts.method_models import OfPlayer, Result
from pmcp_common.contracts.personas import Identifier


def _capped(value: object) -> object:
    return min(value, MAX_SHARED_RESULTS) if isinstance(value, int) else value


class MemorySearchCrossPersonaParams(OfPlayer):
    query: Message
    persona_id: Identifier | None = Field(default=None, description="who asks; default: the active persona")
    n_results: Annotated[int, BeforeValidator(_capped)] = Field(
        default=10, ge=1, le=MAX_SHARED_RESULTS, description="more is taken as 50"
    )
    min_importance: Importance = 0.6
    include_shared: bool = Field(default=True, description="this player's, known to every persona")
    include_public: bool = Field(default=True, description="known to everybody")


class CrossPersonaMemory(Result):
    memory_id: str
    content: str
    similarity: float = Field(description="cosine to the query")
    importance: float
    memory_type: str
    created_at: str
    visibility: Literal["shared", "public"]
    source: Literal["own", "cross_persona"]
    source_persona: str = Field(description="id of the persona whose memory it is")
    related_personas: list[str]


class CrossPersonaSearch(Result):
    min_importance: float
    include_shared: bool
    include_public: bool


class MemorySearchCrossPersonaResult(Result):
    requesting_persona: str
    query: str
    memories: list[CrossPersonaMemory] = Field(description="the most similar first; never a private one")
    total_results: int
    search_params: CrossPersonaSearch


class SharedByPersona(Result):
    shared: int
    public: int
    cross_references: int = Field(description="of these, about other personas")


class SharedMemoryStatistics(Result):
    total_personas: int
    shared_memories: int
    public_memories: int
    cross_references: int
    by_persona: dict[str, SharedByPersona]


class MemorySharedStatsResult(Result):
    shared_memory_statistics: SharedMemoryStatistics
    timestamp: str
