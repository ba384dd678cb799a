"""The rows of the schema `memory`: turns, summaries, memories.

Owns every statement (`queries.sql`) and turns what Postgres refuses into domain errors by the
constraint's name. It decides nothing about what is worth remembering. Each call names the tenant; rows of
another tenant do not exist for it, nor do memories of another player.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

import asyncpg

from pmcp_common.contracts.errors import Conflict, InvalidParams, MemoryFailed, Unavailable
from pmcp_common.contracts.memories import RecalledMemory, Role, Turn, Visibility
from pmcp_common.postgres import encode_vector, read_queries
from pmcp_memory.embedding import Vector

log = logging.getLogger(__name__)

MIGRATIONS = files("pmcp_memory") / "migrations"

REFUSALS: Mapping[str, str] = {
    "turns_message_id_check": "message_id: 1..200 characters",
    "turns_conversation_id_check": "conversation_id: 1..200 characters",
    "turns_persona_id_check": "persona_id: 1..200 characters",
    "turns_player_id_check": "player_id: 1..200 characters",
    "turns_role_check": "role: user or assistant",
    "turns_content_check": "content: 1..32768 bytes",
    "turns_metadata_check": "metadata: an object",
    "summaries_content_check": "content: 1..32768 bytes",
    "summaries_version_check": "version: at least 1",
    "memories_id_check": "id: 1..200 characters",
    "memories_persona_id_check": "persona_id: 1..200 characters",
    "memories_player_id_check": "player_id: 1..200 characters",
    "memories_content_check": "content: 1..32768 bytes",
    "memories_type_check": "memory_type: lower case letters, digits and _, at most 50",
    "memories_importance_check": "importance: 0..1",
    "memories_valence_check": "emotional_valence: -1..1",
    "memories_visibility_check": "visibility: private, shared or public",
    "memories_metadata_check": "metadata: an object",
    "memories_accessed_check": "accessed_count: at least 0",
}
"""What breaking a rule of the schema means. A unique constraint is a conflict whatever its name."""

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
)
"""Not reachable, shutting down, over its statement time, out of connections. `InterfaceError` is
asyncpg's word for a connection or pool that closed meanwhile."""


@dataclass(frozen=True, slots=True)
class NewMemory:
    """A memory of one turn, ready to be stored; private to the player."""

    id: str
    source: Turn
    memory_type: str
    importance: float
    emotional_valence: float
    embedding: Vector


@dataclass(frozen=True, slots=True)
class RecallFilter:
    memory_type: str | None = None
    min_importance: float = 0.0
    without_sources: Sequence[str] = ()
    """Message ids: memories made of these are left out."""
    limit: int = 5


@dataclass(frozen=True, slots=True)
class TypeStats:
    memory_type: str
    memories: int
    importance: float
    """Sum over the memories."""
    important: int
    today: int


class MemoryStore:
    def __init__(self, pool: asyncpg.Pool, *, acquire_timeout_seconds: float) -> None:
        self._pool = pool
        self._acquire_timeout_seconds = acquire_timeout_seconds
        self._queries = read_queries(files("pmcp_memory") / "queries.sql")

    async def add_turns(self, tenant: str, turns: Sequence[Turn]) -> int:
        """All or none; how many were new."""
        rows = await self._fetch(
            "insert_turns",
            tenant,
            [turn.message_id for turn in turns],
            [turn.conversation_id for turn in turns],
            [turn.persona_id for turn in turns],
            [turn.player_id for turn in turns],
            [turn.role.value for turn in turns],
            [turn.content for turn in turns],
            [turn.created_at for turn in turns],
            [turn.metadata for turn in turns],
        )
        return len(rows)

    async def find_turn(self, tenant: str, message_id: str) -> Turn | None:
        rows = await self._fetch("find_turn", tenant, message_id)
        return _turn(rows[0]) if rows else None

    async def recent(
        self, tenant: str, conversation_id: str, persona_id: str, player_id: str, limit: int
    ) -> tuple[tuple[Turn, ...], str | None]:
        """The newest turns, oldest first, and the summary of what lies before, if one was written."""
        # At least one row, for the summary comes with it.
        rows = await self._fetch("recent_turns", tenant, conversation_id, persona_id, player_id, max(limit, 1))
        summary: str | None = rows[0]["summary"] if rows else None
        return tuple(_turn(row) for row in reversed(rows[:limit])), summary

    async def turns_to_remember(self, tenant: str, message_ids: Sequence[str]) -> tuple[list[Turn], frozenset[str]]:
        """Those that are committed, and the ids of those of which a memory was made already."""
        rows = await self._fetch("turns_to_remember", tenant, list(message_ids))
        return [_turn(row) for row in rows], frozenset(row["message_id"] for row in rows if row["remembered"])

    async def add_memories(self, tenant: str, embedding_model: str, memories: Sequence[NewMemory]) -> int:
        """All or none; how many were new."""
        rows = await self._fetch(
            "insert_memories",
            tenant,
            embedding_model,
            [memory.id for memory in memories],
            [memory.source.persona_id for memory in memories],
            [memory.source.player_id for memory in memories],
            [memory.source.content for memory in memories],
            [memory.memory_type for memory in memories],
            [memory.importance for memory in memories],
            [memory.emotional_valence for memory in memories],
            [memory.source.message_id for memory in memories],
            [encode_vector(memory.embedding) for memory in memories],
            [memory.source.created_at for memory in memories],
        )
        return len(rows)

    async def nearest(
        self, tenant: str, persona_id: str, player_id: str, vector: Vector, model: str, wanted: RecallFilter
    ) -> tuple[RecalledMemory, ...]:
        """Most similar first. Raises MemoryFailed when the search itself does not work."""
        try:
            rows = await self._fetch(
                "nearest_memories",
                tenant,
                persona_id,
                player_id,
                vector,
                model,
                wanted.memory_type,
                wanted.min_importance,
                list(wanted.without_sources),
                wanted.limit,
            )
        except asyncpg.PostgresError as error:
            log.exception("vector search failed")
            raise MemoryFailed("The memories could not be searched") from error
        return tuple(_recalled(row) for row in rows)

    async def count_accesses(self, tenant: str, times: Mapping[str, int], at: datetime) -> None:
        # In id order: two writers that lock the same rows must not wait for each other.
        ids = sorted(times)
        await self._fetch("count_accesses", tenant, ids, [times[one] for one in ids], at)

    async def stats(self, tenant: str, persona_id: str, player_id: str, today: datetime) -> list[TypeStats]:
        rows = await self._fetch("memory_stats", tenant, persona_id, player_id, today)
        return [TypeStats(**dict(row)) for row in rows]

    async def check(self) -> None:
        """Returns when Postgres answers."""
        async with self._connection() as connection:
            await connection.execute("SELECT 1")

    async def _fetch(self, query: str, *arguments: object) -> Sequence[asyncpg.Record]:
        async with self._connection() as connection:
            rows: Sequence[asyncpg.Record] = await connection.fetch(self._queries[query], *arguments)
            return rows

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with self._pool.acquire(timeout=self._acquire_timeout_seconds) as connection:
                yield connection
        except asyncpg.UniqueViolationError as error:
            raise Conflict("The record exists already") from error
        except asyncpg.CheckViolationError as error:
            rule = REFUSALS.get(error.constraint_name or "")
            if rule is None:
                raise
            raise InvalidParams(rule, field=rule.partition(":")[0]) from error
        except _AWAY as error:
            raise Unavailable("The memory database is away", retry_after=1) from error


def _turn(row: asyncpg.Record) -> Turn:
    # Validated when it came in; checking 20 turns again would cost each reply more than the query did.
    return Turn.model_construct(
        message_id=row["message_id"],
        conversation_id=row["conversation_id"],
        persona_id=row["persona_id"],
        player_id=row["player_id"],
        role=Role(row["role"]),
        content=row["content"],
        created_at=row["created_at"],
        metadata=row["metadata"],
    )


def _recalled(row: asyncpg.Record) -> RecalledMemory:
    return RecalledMemory.model_construct(
        id=row["id"],
        content=row["content"],
        memory_type=row["memory_type"],
        importance=round(row["importance"], 4),
        emotional_valence=round(row["emotional_valence"], 4),
        related_personas=tuple(row["related_personas"]),
        visibility=Visibility(row["visibility"]),
        created_at=row["created_at"],
        accessed_count=row["accessed_count"],
        similarity=round(row["similarity"], 6),
    )
