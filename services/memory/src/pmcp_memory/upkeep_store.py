"""Background work in rows: the lease, and what re-embedding and indexing read and write.

Owns `upkeep.sql`, whose statements are the only ones that look at all tenants at once.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

import asyncpg

from pmcp_common.contracts.errors import MemoryFailed
from pmcp_common.postgres import encode_vector, read_queries
from pmcp_memory.database import Database
from pmcp_memory.embedding import Vector
from pmcp_memory.tending_store import Owner

log = logging.getLogger(__name__)

_INDEX_SECONDS = 3_600.0
MAX_INDEX_DIMENSION = 4_000
"""Of pgvector's HNSW over `halfvec`: vectors of more are searched exactly, however many they are."""
# The name is ours: hexadecimal digits after a prefix.
_DROP_INDEX = "DROP INDEX CONCURRENTLY IF EXISTS memory.{name}"


@dataclass(frozen=True, slots=True)
class Key:
    """Of one memory."""

    tenant: str
    id: str


@dataclass(frozen=True, slots=True)
class ForeignVector:
    key: Key
    lead_in: str
    content: str


class UpkeepStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = read_queries(files("pmcp_memory") / "upkeep.sql")

    async def take_lease(self, holder: str, seconds: float) -> bool:
        """True: ours for so long from now; taking it again renews it."""
        return bool(await self._fetch("take_lease", holder, seconds))

    async def drop_lease(self, holder: str) -> None:
        await self._fetch("drop_lease", holder)

    async def done_at(self, work: str) -> datetime:
        """1970 when it was never done."""
        (row,) = await self._fetch("done_at", work)
        moment: datetime = row["done_at"]
        return moment

    async def mark_done(self, work: str, at: datetime) -> None:
        await self._fetch("mark_done", work, at)

    async def foreign_vectors(self, model: str, limit: int) -> list[ForeignVector]:
        rows = await self._fetch("foreign_vectors", model, limit)
        return [ForeignVector(Key(row["tenant_id"], row["id"]), row["lead_in"], row["content"]) for row in rows]

    async def replace_vectors(self, model: str, replaced: Sequence[tuple[ForeignVector, Vector]]) -> None:
        await self._fetch(
            "replace_vectors",
            model,
            [memory.key.tenant for memory, _ in replaced],
            [memory.key.id for memory, _ in replaced],
            [memory.lead_in for memory, _ in replaced],
            [memory.content for memory, _ in replaced],
            [encode_vector(vector) for _, vector in replaced],
        )

    async def crowded_players(self, at_least: int, model: str) -> list[Owner]:
        """Those with so many vectors of the model and no whole index over them."""
        return [Owner(*row) for row in await self._fetch("crowded_players", at_least, model, MAX_INDEX_DIMENSION)]

    async def indexes_of(self, tenant: str, player_id: str) -> list[str]:
        """Names of those over this player's vectors alone."""
        return [row["index_name"] for row in await self._fetch("indexes_of", tenant, player_id)]

    async def idle_indexes(
        self, exact_memories: int, tenant: str | None = None, player_id: str | None = None
    ) -> list[str]:
        """Names of indexes over fewer vectors than half of `exact_memories`, which are searched without one: of this
        player, or of everybody."""
        return [row["index_name"] for row in await self._fetch("idle_indexes", exact_memories, tenant, player_id)]

    async def make_index(self, owner: Owner, model: str, name: str) -> None:
        """Takes seconds to minutes; readers and writers go on meanwhile. A broken one of this name goes first."""
        names = (owner.tenant, owner.persona_id, owner.player_id, model)
        ((statement,),) = await self._fetch("index_statement", *names, name)
        async with self._without_time_limit() as connection:
            await connection.execute(_DROP_INDEX.format(name=name))
            await self._fetch("note_index", *names, name)
            await connection.execute(statement, timeout=_INDEX_SECONDS)

    async def drop_index(self, name: str) -> None:
        async with self._without_time_limit() as connection:
            await connection.execute(_DROP_INDEX.format(name=name), timeout=_INDEX_SECONDS)
        await self._fetch("unnote_index", name)

    @asynccontextmanager
    async def _without_time_limit(self) -> AsyncIterator[Any]:
        async with self._database.connection() as connection:
            await connection.execute("SET statement_timeout = 0")
            try:
                yield connection
            finally:
                await connection.execute("RESET statement_timeout")

    async def _fetch(self, query: str, *arguments: object) -> Sequence[asyncpg.Record]:
        try:
            return await self._database.fetch(self._queries[query], *arguments)
        except asyncpg.PostgresError as error:
            log.exception("upkeep failed", extra={"query": query})
            raise MemoryFailed("Background work on the memories failed") from error
