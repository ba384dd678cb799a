"""The rows of the schema `memory`: turns, summaries, memories.

Owns its statements (`queries.sql`); recall is `recall_store`'s. It decides nothing about what is worth
remembering. Each call names the tenant; rows of another tenant do not exist for it, nor do memories of another player.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from typing import Any

import asyncpg

from pmcp_common.contracts.errors import NotFound
from pmcp_common.contracts.memories import Role, Turn, Visibility
from pmcp_common.postgres import encode_vector, read_queries
from pmcp_memory.cues import cues_of
from pmcp_memory.database import Database
from pmcp_memory.embedding import Vector
from pmcp_memory.placing import Place, StoredTurn
from pmcp_memory.restating import may_be_merged, older_wording_key, wording_key
from pmcp_memory.world import hold_memories

MIGRATIONS = files("pmcp_memory") / "migrations"


@dataclass(frozen=True, slots=True)
class NewMemory:
    """A memory ready to be stored."""

    id: str
    persona_id: str
    player_id: str | None
    """None: what the persona knows by itself."""
    content: str
    memory_type: str
    importance: float
    emotional_valence: float
    embedding: Vector
    occurred_at: datetime
    source: str | None = None
    """The message it was made of; None: a client stored it."""
    place: Place | None = None
    """None: it stands alone."""
    related_personas: Sequence[str] = ()
    visibility: Visibility = Visibility.PRIVATE
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TypeStats:
    memory_type: str
    memories: int
    importance: float
    """Sum over the memories."""
    important: int
    today: int
    oldest: datetime
    newest: datetime


class MemoryStore:
    def __init__(self, database: Database) -> None:
        self._database = database
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

    async def turns_to_remember(
        self, tenant: str, message_ids: Sequence[str]
    ) -> tuple[list[StoredTurn], frozenset[str]]:
        """Those that are committed, in the order of their conversations, and the ids of those of which a memory was
        made already."""
        rows = await self._fetch("turns_to_remember", tenant, list(message_ids))
        return [_stored_turn(row) for row in rows], frozenset(row["message_id"] for row in rows if row["remembered"])

    async def add_memories(
        self, tenant: str, embedding_model: str, memories: Sequence[NewMemory], now: datetime
    ) -> int:
        """All or none; how many messages and texts were new. What a player's memory says already, in the same words,
        from the same side and to the same question, is merged into it."""
        groups: dict[tuple[str, str | None], list[NewMemory]] = {}
        for memory in memories:
            groups.setdefault((memory.persona_id, memory.player_id), []).append(memory)
        stored = 0
        async with self._database.connection() as connection, connection.transaction():
            # In one order for all: two writers must not wait for each other.
            for persona_id, player_id in sorted(groups, key=lambda group: (group[0], group[1] or "")):
                await hold_memories(connection, tenant, persona_id, player_id)
            for group in groups.values():
                stored += await self._add_group(connection, tenant, embedding_model, group, now)
        return stored

    async def _add_group(
        self, connection: Any, tenant: str, model: str, memories: Sequence[NewMemory], now: datetime
    ) -> int:
        """Of one persona and player, whose lock is held."""
        sources = [memory.source for memory in memories if memory.source is not None]
        rows = await connection.fetch(self._queries["remembered_sources"], tenant, sources)
        known = {row["message_id"] for row in rows}
        fresh = [memory for memory in memories if memory.source is None or memory.source not in known]
        if not fresh:
            return 0
        await self._hold_sources(connection, tenant, fresh)
        keys = {memory.id: wording_key(memory.content) for memory in fresh}
        wordings = sorted({*keys.values(), *(older_wording_key(memory.content) for memory in fresh)})
        rows = await connection.fetch(
            self._queries["find_wording"], tenant, fresh[0].persona_id, fresh[0].player_id, wordings
        )
        said = {(row["wording_key"], row["said_by"], row["lead_in"]): row["id"] for row in rows}
        new, merged = _part_from_said(fresh, keys, said)
        await connection.fetch(self._queries["insert_memories"], tenant, model, now, *_columns(new, keys))
        owners = [(memory.source, memory.id) for memory in new] + [(memory.source, target) for target, memory in merged]
        pairs = [(source, owner) for source, owner in owners if source is not None]
        await connection.execute(
            self._queries["insert_sources"], tenant, [source for source, _ in pairs], [owner for _, owner in pairs]
        )
        await connection.execute(
            self._queries["merge_sources"],
            tenant,
            now,
            [target for target, _ in merged],
            [memory.source for _, memory in merged],
            [memory.importance for _, memory in merged],
            [memory.occurred_at for _, memory in merged],
            [memory.place.world_time if memory.place else None for _, memory in merged],
        )
        return len(fresh)

    async def _hold_sources(self, connection: Any, tenant: str, memories: Sequence[NewMemory]) -> None:
        """So that nobody erases the turns whose words these carry before they are in. Raises NotFound for turns erased
        since they were read."""
        lead_ins = [memory.place.lead_in_from for memory in memories if memory.place is not None]
        sources = {one for one in [*(memory.source for memory in memories), *lead_ins] if one is not None}
        held = await connection.fetch(self._queries["hold_sources"], tenant, sorted(sources))
        missing = sorted(sources - {row["message_id"] for row in held})
        if missing:
            raise NotFound("A turn to remember was forgotten", message_ids=missing)

    async def count_accesses(self, tenant: str, times: Mapping[str, int], at: datetime) -> None:
        # In id order: two writers that lock the same rows must not wait for each other.
        ids = sorted(times)
        await self._fetch("count_accesses", tenant, ids, [times[one] for one in ids], at)

    async def stats(self, tenant: str, persona_id: str, player_id: str, today: datetime) -> list[TypeStats]:
        rows = await self._fetch("memory_stats", tenant, persona_id, player_id, today)
        return [TypeStats(**dict(row)) for row in rows]

    async def check(self) -> None:
        """Returns when Postgres answers."""
        async with self._database.connection() as connection:
            await connection.execute("SELECT 1")

    async def _fetch(self, query: str, *arguments: object) -> Sequence[asyncpg.Record]:
        return await self._database.fetch(self._queries[query], *arguments)


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


def _stored_turn(row: asyncpg.Record) -> StoredTurn:
    turn = _turn(row)
    before = None
    if row["before_message_id"] is not None:
        before = turn.model_copy(
            update={
                "message_id": row["before_message_id"],
                "role": Role(row["before_role"]),
                "content": row["before_content"],
                "created_at": row["before_created_at"],
            }
        )
    return StoredTurn(turn, row["ordinal"], before, row["episode_before"])


def _part_from_said(
    memories: Sequence[NewMemory], keys: Mapping[str, str], said: dict[tuple[str, str | None, str], str]
) -> tuple[list[NewMemory], list[tuple[str, NewMemory]]]:
    """Those that are new, and those that were said before with the id of the memory that says it. `said` is by
    wording, side and lead-in; what is new is added to it."""
    new: list[NewMemory] = []
    merged: list[tuple[str, NewMemory]] = []
    for memory in memories:
        place = memory.place or _alone(memory)
        wording = (keys[memory.id], place.said_by, place.lead_in)
        # A row of before this wording was seen through keeps its older key.
        says_it = said.get(wording) or said.get((older_wording_key(memory.content), place.said_by, place.lead_in))
        if memory.source is not None and says_it and may_be_merged(memory.content, place.lead_in):
            merged.append((says_it, memory))
        else:
            new.append(memory)
            said.setdefault(wording, memory.id)
    return new, merged


def _columns(memories: Sequence[NewMemory], keys: Mapping[str, str]) -> list[list[Any]]:
    """As `insert_memories` unnests them."""
    places = [memory.place or _alone(memory) for memory in memories]
    return [
        [memory.id for memory in memories],
        [memory.persona_id for memory in memories],
        [memory.player_id for memory in memories],
        [memory.content for memory in memories],
        [memory.memory_type for memory in memories],
        [memory.importance for memory in memories],
        [memory.emotional_valence for memory in memories],
        # As an object: a list of lists would be taken for an array of two dimensions.
        [{"ids": list(memory.related_personas)} for memory in memories],
        [memory.visibility.value for memory in memories],
        [dict(memory.metadata) for memory in memories],
        [memory.source for memory in memories],
        [keys[memory.id] for memory in memories],
        [encode_vector(memory.embedding) for memory in memories],
        [memory.occurred_at for memory in memories],
        [place.thread_id for place in places],
        [place.ordinal for place in places],
        [place.episode for place in places],
        [place.said_by for place in places],
        [place.speaker for place in places],
        [place.lead_in for place in places],
        [int(place.cues) for place in places],
        [place.session_id for place in places],
        [place.world_time for place in places],
    ]


def _alone(memory: NewMemory) -> Place:
    return Place(memory.id, 0, 0, None, None, "", cues_of(memory.content), None, None)
