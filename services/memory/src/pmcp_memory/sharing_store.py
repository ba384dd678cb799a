"""Shared and public memories in rows. Owns `sharing.sql`; who may see what is `visible_memories`' to say."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.resources import files

import asyncpg

from pmcp_common.contracts.errors import MemoryFailed
from pmcp_common.contracts.memories import Visibility
from pmcp_common.contracts.memory_sharing import SharedCounts, SharedMemory
from pmcp_common.postgres import read_queries
from pmcp_memory.database import Database
from pmcp_memory.embedding import Vector
from pmcp_memory.recall_store import Viewer

log = logging.getLogger(__name__)


class SharingStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = read_queries(files("pmcp_memory") / "sharing.sql")

    async def search(
        self,
        viewer: Viewer,
        vector: Vector,
        model: str,
        visibilities: Sequence[Visibility],
        min_importance: float,
        limit: int,
    ) -> tuple[SharedMemory, ...]:
        """The most similar first. Memories with another model's vectors cannot be compared and are left out."""
        try:
            rows = await self._database.fetch(
                self._queries["search_shared"],
                viewer.tenant,
                viewer.persona_id,
                viewer.player_id,
                vector,
                model,
                [one.value for one in visibilities],
                min_importance,
                limit,
            )
        except asyncpg.PostgresError as error:
            log.exception("search of shared memories failed")
            raise MemoryFailed("The shared memories could not be searched") from error
        return tuple(_shared(row) for row in rows)

    async def stats(self, tenant: str) -> tuple[SharedCounts, ...]:
        rows = await self._database.fetch(self._queries["shared_stats"], tenant)
        return tuple(SharedCounts(**dict(row)) for row in rows)


def _shared(row: asyncpg.Record) -> SharedMemory:
    values = dict(row)
    values["similarity"] = round(values["similarity"], 6)
    values["importance"] = round(values["importance"], 4)
    return SharedMemory(**values)
