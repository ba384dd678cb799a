"""Decay and pruning in rows, and the figures of both. Owns `tending.sql`.

One owner's pruning is one transaction with its figures; two of the same owner take turns.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any

import asyncpg

from pmcp_common.contracts.errors import MemoryFailed
from pmcp_common.contracts.memory_tending import DecayCycle, Faded
from pmcp_common.postgres import read_queries
from pmcp_memory.database import Database
from pmcp_memory.decay import FLOOR, LASTING_IMPORTANCE, REST_DAYS, Aging
from pmcp_memory.pruning import PAUSE, Prunable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Owner:
    """Of memories: no player means that the persona knows them by itself."""

    tenant: str
    persona_id: str
    player_id: str | None

    @property
    def columns(self) -> tuple[str, str, str | None]:
        return self.tenant, self.persona_id, self.player_id


@dataclass(frozen=True, slots=True)
class AgingMemory:
    id: str
    persona_id: str
    stored: float
    """Its importance, to the last bit of what the row holds."""
    importance: float
    aging: Aging
    world_now: datetime | None
    """By the clock that the times of `aging` are of; None: the wall's."""


@dataclass(frozen=True, slots=True)
class Store:
    """What a pruning decides on: everything of one owner."""

    memories: Sequence[Prunable]
    """Empty when `count` says that nothing is to be decided."""
    count: int
    pruned_at: datetime | None


@dataclass(frozen=True, slots=True)
class Deleted:
    store: Store
    ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class TendingRow:
    running: bool
    decay_cycles: int
    memories_decayed: int
    auto_prunes: int
    cycle_at: datetime | None
    cycle_personas: int
    cycle_decayed: int
    cycle_average: float
    cycle_seconds: float
    last_global_prune: datetime | None


@dataclass(frozen=True, slots=True)
class PruningRow:
    persona_id: str
    operations: int
    memories_pruned: int
    seconds: float
    pruned_at: datetime


UNTENDED = TendingRow(True, 0, 0, 0, None, 0, 0, 0.0, 0.0, None)
"""Of a tenant for which nothing was done or switched yet."""


class TendingStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = read_queries(files("pmcp_memory") / "tending.sql")

    async def due_tenants(self, since: datetime) -> list[str]:
        """Tended tenants without a decay cycle after `since`."""
        return [row["tenant_id"] for row in await self._fetch("due_tenants", since)]

    async def crowded_anywhere(self, at_least: int) -> list[Owner]:
        return [Owner(*row) for row in await self._fetch("crowded_anywhere", at_least)]

    async def owners(self, tenant: str) -> dict[Owner, int]:
        """With the number of their memories."""
        rows = await self._fetch("owners", tenant)
        return {Owner(tenant, row["persona_id"], row["player_id"]): row["memories"] for row in rows}

    async def aging(self, tenant: str, after: str, limit: int) -> list[AgingMemory]:
        return [_aging_memory(row) for row in await self._fetch("aging_memories", tenant, after, limit)]

    async def set_importances(self, tenant: str, changed: Sequence[tuple[AgingMemory, float]]) -> frozenset[str]:
        """Ids of those that were still as they had been read."""
        rows = await self._fetch(
            "set_importances",
            tenant,
            [memory.id for memory, _ in changed],
            [importance for _, importance in changed],
            [memory.stored for memory, _ in changed],
        )
        return frozenset(row["id"] for row in rows)

    async def fade(self, owner: Owner, factor: float, now: datetime) -> Faded:
        rested_since = now - timedelta(days=REST_DAYS)
        (row,) = await self._fetch("fade", *owner.columns, factor, FLOOR, LASTING_IMPORTANCE, rested_since)
        return Faded(memories_processed=row["processed"], memories_decayed=row["decayed"])

    async def look(self, owner: Owner, at_least: int) -> Store:
        """The memories only when there are so many."""
        async with self._database.connection() as connection:
            return await self._read(connection, owner, at_least)

    async def prune(
        self,
        owner: Owner,
        at_least: int,
        choose: Callable[[Store], Sequence[str] | None],
        seconds: Callable[[], float],
        now: datetime,
    ) -> Deleted | None:
        """Reads the store and deletes what `choose` names, which is one operation of the figures; None: it chose to do
        nothing. What was recalled, pinned or shown to others meanwhile stays. `seconds`: since the operation began."""
        try:
            async with self._database.connection() as connection, connection.transaction():
                await connection.execute(self._queries["lock_pruning"], *owner.columns)
                store = await self._read(connection, owner, at_least)
                chosen = choose(store)
                if chosen is None:
                    return None
                ids = await self._delete(connection, owner.tenant, store, frozenset(chosen))
                await connection.execute(
                    self._queries["note_pruning"],
                    owner.tenant,
                    owner.persona_id,
                    owner.player_id or "",
                    len(ids),
                    seconds(),
                    now,
                    now - PAUSE,
                )
                return Deleted(store, ids)
        except asyncpg.PostgresError as error:
            log.exception("pruning failed")
            raise MemoryFailed("The memories could not be pruned") from error

    async def _read(self, connection: Any, owner: Owner, at_least: int) -> Store:
        (counted,) = await connection.fetch(self._queries["count_memories"], *owner.columns)
        marks = await connection.fetch(
            self._queries["pruned_at"], owner.tenant, owner.persona_id, owner.player_id or ""
        )
        pruned_at = marks[0]["pruned_at"] if marks else None
        if counted["memories"] < at_least:
            return Store((), counted["memories"], pruned_at)
        rows = await connection.fetch(self._queries["prunable"], *owner.columns)
        memories = [Prunable(**{**dict(row), "importance": _exact(row["importance"])}) for row in rows]
        return Store(memories, len(memories), pruned_at)

    async def _delete(self, connection: Any, tenant: str, store: Store, chosen: frozenset[str]) -> frozenset[str]:
        gone = [memory for memory in store.memories if memory.id in chosen]
        rows = await connection.fetch(
            self._queries["prune"],
            tenant,
            [memory.id for memory in gone],
            [memory.accessed_count for memory in gone],
        )
        return frozenset(row["id"] for row in rows)

    async def note_global_prune(self, tenant: str, now: datetime) -> None:
        await self._fetch("note_global_prune", tenant, now)

    async def note_auto_prunes(self, tenant: str, number: int) -> None:
        await self._fetch("note_auto_prunes", tenant, number)

    async def note_cycle(self, tenant: str, cycle: DecayCycle) -> None:
        await self._fetch(
            "note_cycle",
            tenant,
            cycle.at,
            cycle.personas_processed,
            cycle.memories_decayed,
            cycle.average_decay,
            cycle.seconds,
        )

    async def switch(self, tenant: str, *, running: bool) -> None:
        await self._fetch("switch", tenant, running)

    async def tending(self, tenant: str) -> TendingRow:
        rows = await self._fetch("tending", tenant)
        return TendingRow(**dict(rows[0])) if rows else UNTENDED

    async def prunings(self, tenant: str) -> list[PruningRow]:
        return [PruningRow(**dict(row)) for row in await self._fetch("prunings", tenant)]

    async def _fetch(self, query: str, *arguments: object) -> Sequence[asyncpg.Record]:
        try:
            return await self._database.fetch(self._queries[query], *arguments)
        except asyncpg.PostgresError as error:
            log.exception("tending failed", extra={"query": query})
            raise MemoryFailed("The memories could not be tended") from error


def _aging_memory(row: asyncpg.Record) -> AgingMemory:
    aging = Aging(
        _exact(row["initial_importance"]), row["created_at"], row["last_accessed"], row["accessed_count"], row["pinned"]
    )
    return AgingMemory(
        row["id"], row["persona_id"], row["importance"], _exact(row["importance"]), aging, row["world_now"]
    )


def _exact(importance: float) -> float:
    """As it was given: a `real` 0.7 is read as 0.699999988, which is less than 0.7."""
    return round(importance, 4)
