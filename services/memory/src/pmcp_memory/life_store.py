"""Single memories and whole players, in rows: read, edit, merge, forget, export. Owns `life.sql`.

Each change is one transaction over all it reaches: a forgotten memory takes its summaries, its turns and the echoes
of its words in neighbours with it, or nothing happens. A player changes only that player's own; what the persona knows
by itself is changed only by a viewer without player.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any

import asyncpg

from pmcp_common.contracts.errors import Conflict, NotFound
from pmcp_common.contracts.memories import Turn
from pmcp_common.contracts.memory_life import EditMemory, Erased, MemoryRecord, PlayerExport, SummaryRecord
from pmcp_common.postgres import read_queries
from pmcp_memory.database import Database
from pmcp_memory.embedding import Vector
from pmcp_memory.recall_store import Viewer
from pmcp_memory.restating import wording_key

EmbedTexts = Callable[[Sequence[str]], Awaitable[Sequence[Vector]]]


class LifeStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = read_queries(files("pmcp_memory") / "life.sql")

    async def read(self, viewer: Viewer, memory_id: str) -> MemoryRecord:
        """Raises NotFound, also for what the viewer may not see."""
        rows = await self._database.fetch(
            self._queries["read_memory"], viewer.tenant, viewer.persona_id, viewer.player_id, memory_id
        )
        if not rows:
            raise NotFound("Memory not found", memory_id=memory_id)
        return _record(rows[0])

    async def edit(
        self, viewer: Viewer, memory_id: str, change: EditMemory, embed: EmbedTexts, model: str, now: datetime
    ) -> None:
        """A new text, or new eyes on it, means a new vector. Raises NotFound."""
        async with self._database.connection() as connection, connection.transaction():
            (row,) = await self._own(connection, viewer, [memory_id])
            shown = change.visibility is not None and change.visibility.value != "private"
            text = change.content or (row["content"] if shown and row["lead_in"] else None)
            vector = None if text is None else (await embed([text]))[0]
            await connection.execute(
                self._queries["edit_memory"],
                viewer.tenant,
                memory_id,
                change.content,
                change.memory_type,
                change.importance,
                change.emotional_valence,
                None if change.visibility is None else change.visibility.value,
                change.pinned,
                vector,
                model,
                None if text is None else wording_key(text),
                now,
            )

    async def merge(self, viewer: Viewer, into: str, others: Sequence[str], now: datetime) -> None:
        """Raises NotFound when one of them is not there, Conflict when not the same may see them all."""
        gone = sorted(set(others) - {into})
        async with self._database.connection() as connection, connection.transaction():
            rows = await self._own(connection, viewer, [into, *gone])
            if len({row["visibility"] for row in rows}) > 1:
                raise Conflict("Memories of different visibility are not merged")
            await connection.execute(self._queries["gain_sources"], viewer.tenant, into, gone, now)
            await connection.execute(self._queries["move_sources"], viewer.tenant, into, gone)
            await connection.execute(self._queries["delete_memories"], viewer.tenant, gone)

    async def forget(self, viewer: Viewer, memory_id: str, embed: EmbedTexts, model: str, now: datetime) -> Erased:
        """With all turns it was made of, the summaries of their conversations, and their questions in front of the
        next memories. Raises NotFound."""
        tenant = viewer.tenant
        async with self._database.connection() as connection, connection.transaction():
            owner = (tenant, viewer.persona_id, viewer.player_id or None)
            await connection.execute(self._queries["hold_turns"], *owner, memory_id)
            (row,) = await self._own(connection, viewer, [memory_id])
            sources = row["source_message_ids"]
            said = await connection.fetch(self._queries["source_turns"], tenant, sources)
            await self._drop_echoes(connection, tenant, row, said, embed, model)
            threads = {turn["conversation_id"] for turn in said} | ({row["thread_id"]} if sources else set())
            summaries = await connection.fetch(self._queries["empty_summaries"], tenant, sorted(threads), now)
            await connection.execute(self._queries["delete_memories"], tenant, [memory_id])
            turns = await connection.fetch(self._queries["delete_turns"], tenant, sources)
        return Erased(memories=1, turns=len(turns), summaries=len(summaries))

    async def _drop_echoes(
        self,
        connection: Any,
        tenant: str,
        row: asyncpg.Record,
        said: Sequence[asyncpg.Record],
        embed: EmbedTexts,
        model: str,
    ) -> None:
        after = [turn["next_message_id"] for turn in said if turn["next_message_id"] is not None]
        echoes = await connection.fetch(self._queries["echoes"], tenant, after, row["thread_id"], row["ordinal"])
        vectors = await embed([echo["content"] for echo in echoes]) if echoes else []
        for echo, vector in zip(echoes, vectors, strict=True):
            await connection.execute(self._queries["drop_lead_in"], tenant, echo["id"], vector, model)

    async def export(self, tenant: str, player_id: str) -> PlayerExport:
        """Of one snapshot."""
        async with (
            self._database.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            memories = await connection.fetch(self._queries["export_memories"], tenant, player_id)
            turns = await connection.fetch(self._queries["export_turns"], tenant, player_id)
            summaries = await connection.fetch(self._queries["export_summaries"], tenant, player_id)
        return PlayerExport(
            player_id=player_id,
            memories=tuple(_record(row) for row in memories),
            turns=tuple(Turn(**dict(row)) for row in turns),
            summaries=tuple(SummaryRecord(**dict(row)) for row in summaries),
        )

    async def _own(self, connection: Any, viewer: Viewer, ids: Sequence[str]) -> Sequence[asyncpg.Record]:
        rows: Sequence[asyncpg.Record] = await connection.fetch(
            self._queries["own_memories"], viewer.tenant, viewer.persona_id, viewer.player_id or None, list(ids)
        )
        missing = sorted(set(ids) - {row["id"] for row in rows})
        if missing:
            raise NotFound("Memory not found", memory_ids=missing)
        return rows


def _record(row: asyncpg.Record) -> MemoryRecord:
    values = dict(row)
    for name in ("importance", "initial_importance", "emotional_valence"):
        values[name] = round(values[name], 4)
    return MemoryRecord(**values)
