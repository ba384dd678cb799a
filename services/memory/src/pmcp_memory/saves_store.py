"""Saves of a player's world in rows: made, listed, loaded. Owns `saves.sql`; triggers (`0009_saves`) keep the rest.

A save is one number, the cut, and copies of the summaries: it looks at each conversation once, and takes as long for a
hundred thousand memories as for none. A load moves what differs between two worlds and touches nothing else. Both hold
the player's world alone, so that every cut is exact.
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

from pmcp_common.contracts.errors import Conflict, NotFound, Unavailable
from pmcp_common.contracts.saves import (
    MAX_AUTOMATIC_SAVES,
    MAX_SAVES,
    MAX_SAVES_LISTED,
    SaveRecord,
    SaveWorld,
    WorldLoaded,
)
from pmcp_common.postgres import read_queries
from pmcp_memory.database import Database
from pmcp_memory.world import hold_world

log = logging.getLogger(__name__)

LOAD_SECONDS = 120.0
"""For one statement of a load: what comes back enters every index anew, a large memory's HNSW index too."""
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Loaded:
    outcome: WorldLoaded
    not_remembered: Sequence[str]
    """Messages that came back and of which there is no memory, as they were said."""


class SavesStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = read_queries(files("pmcp_memory") / "saves.sql")

    async def save(self, tenant: str, wanted: SaveWorld, now: datetime) -> SaveRecord:
        """Raises Conflict for an id that is taken, and when the player has MAX_SAVES."""
        async with self._holding(tenant, wanted.player_id) as connection:
            return _record(await self._write(connection, tenant, wanted, now, automatic=False))

    async def find(self, tenant: str, player_id: str, save_id: str | None) -> SaveRecord:
        """None: the newest the player made. Raises NotFound, for a save of another player too."""
        if save_id is None:
            rows = await self._database.fetch(self._queries["newest_save"], tenant, player_id)
        else:
            rows = await self._database.fetch(self._queries["find_save"], tenant, player_id, save_id)
        return _record(_found(rows, save_id))

    async def list(self, tenant: str, player_id: str, limit: int) -> tuple[SaveRecord, ...]:
        """Newest first."""
        rows = await self._database.fetch(self._queries["list_saves"], tenant, player_id, min(limit, MAX_SAVES_LISTED))
        return tuple(_record(row) for row in rows)

    async def count_back(self, tenant: str, player_id: str, save_id: str) -> int:
        """How many memories a load would bring back: as of now."""
        rows = await self._database.fetch(self._queries["count_back"], tenant, player_id, save_id)
        return int(rows[0]["memories"])

    async def load(self, tenant: str, save_id: str, leaving: SaveWorld, now: datetime) -> Loaded:
        """All or nothing. Raises NotFound, and Unavailable when others were always faster."""
        for _ in range(_TRIES):
            try:
                return await self._load(tenant, save_id, leaving, now)
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                log.info("a load begins anew")
        raise Unavailable("The memories are being changed", retry_after=1)

    async def _load(self, tenant: str, save_id: str, leaving: SaveWorld, now: datetime) -> Loaded:
        world = (tenant, leaving.player_id)
        async with self._holding(*world) as connection:
            milliseconds = str(int(LOAD_SECONDS * 1000))
            await self._fetch(connection, "allow", milliseconds)
            save = _found(await self._fetch(connection, "find_save", *world, save_id), save_id)
            await self._write(connection, tenant, leaving, now, automatic=True)
            await self._fetch(connection, "drop_old_automatic", *world, MAX_AUTOMATIC_SAVES)
            await self._fetch(connection, "begin_loading")
            # Turns before memories, as everybody takes them, and away before back: a memory's other version goes first.
            turns_hidden = await self._count(connection, "put_turns_away", *world, save["cut"])
            shown = await self._fetch(connection, "bring_turns_back", *world, save["cut"])
            memories_hidden = await self._count(connection, "put_memories_away", *world, save["cut"])
            back = await self._fetch(connection, "bring_memories_back", *world, save["cut"])
            await self._fetch(connection, "own_sources", tenant, [row["id"] for row in back])
            await self._fetch(connection, "restore_summaries", *world, save_id, now)
            messages = [row["message_id"] for row in shown]
            left_out = await self._fetch(connection, "not_remembered", tenant, messages)
        outcome = WorldLoaded(
            save=_record(save),
            turns_shown=len(shown),
            turns_hidden=turns_hidden,
            memories_shown=len(back),
            memories_hidden=memories_hidden,
        )
        return Loaded(outcome, [row["message_id"] for row in left_out])

    @asynccontextmanager
    async def _holding(self, tenant: str, player_id: str) -> AsyncIterator[Any]:
        async with self._database.connection() as connection, connection.transaction():
            await hold_world(connection, tenant, player_id)
            yield connection

    async def _write(
        self, connection: Any, tenant: str, wanted: SaveWorld, now: datetime, *, automatic: bool
    ) -> asyncpg.Record:
        rows = await self._fetch(
            connection,
            "write_save",
            tenant,
            wanted.save_id,
            wanted.player_id,
            wanted.session_id,
            wanted.principal,
            wanted.persona_id,
            wanted.persona_name,
            wanted.label,
            automatic,
            now,
            MAX_AUTOMATIC_SAVES + 1 if automatic else MAX_SAVES,
        )
        if not rows:
            raise Conflict(f"At most {MAX_SAVES} saves of a player are kept", limit=MAX_SAVES)
        await self._fetch(connection, "copy_summaries", tenant, wanted.player_id, wanted.save_id)
        return rows[0]

    async def _fetch(self, connection: Any, query: str, *arguments: object) -> Sequence[asyncpg.Record]:
        rows: Sequence[asyncpg.Record] = await connection.fetch(self._queries[query], *arguments, timeout=LOAD_SECONDS)
        return rows

    async def _count(self, connection: Any, query: str, *arguments: object) -> int:
        """How many rows a statement changed that returns none."""
        status: str = await connection.execute(self._queries[query], *arguments, timeout=LOAD_SECONDS)
        return int(status.rpartition(" ")[2])


def _found(rows: Sequence[asyncpg.Record], save_id: str | None) -> asyncpg.Record:
    if not rows:
        raise NotFound("Save not found" if save_id else "Nothing was saved yet", save_id=save_id)
    return rows[0]


def _record(row: asyncpg.Record) -> SaveRecord:
    names = set(SaveRecord.model_fields) - {"save_id"}
    return SaveRecord(save_id=row["id"], **{name: row[name] for name in names})
