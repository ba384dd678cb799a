"""The use case of a load: the rows by `saves_store`, and before and after it what a large one needs.

A player's index is in the way of a large load. Before many memories come back it is dropped, for they would enter it
one by one, and it is quicker made anew. After many have gone it is dropped where few are left, for it is full of the
dead, among which a search finds too few that live. Recall is exact then until upkeep makes another.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from pmcp_common.clock import Clock
from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.memories import MAX_MESSAGES_PER_REMEMBER, CommitResult
from pmcp_common.contracts.saves import SaveWorld, WorldLoaded
from pmcp_memory.saves_store import SavesStore

log = logging.getLogger(__name__)

MANY_MEMORIES = 2_000
"""To be moved at once: entering an HNSW index they take some four seconds."""


class Remembers(Protocol):
    async def remember(self, tenant: str, message_ids: Sequence[str]) -> CommitResult: ...


class Indexes(Protocol):
    """Each over the memories of one player with one persona; readers and writers go on while one is dropped."""

    async def indexes_of(self, tenant: str, player_id: str) -> list[str]: ...

    async def idle_indexes(self, exact_memories: int, tenant: str, player_id: str) -> list[str]: ...

    async def drop_index(self, name: str) -> None: ...


class Loading:
    def __init__(
        self, store: SavesStore, indexes: Indexes, recollection: Remembers, clock: Clock, *, exact_memories: int
    ) -> None:
        """`exact_memories`: as many of one player with one persona are searched without an index."""
        self._store = store
        self._indexes = indexes
        self._recollection = recollection
        self._clock = clock
        self._exact_memories = exact_memories

    async def load(self, tenant: str, save_id: str, leaving: SaveWorld) -> WorldLoaded:
        """Raises NotFound, Unavailable."""
        if await self._store.count_back(tenant, leaving.player_id, save_id) >= MANY_MEMORIES:
            await self._drop(await self._indexes.indexes_of(tenant, leaving.player_id))
        loaded = await self._store.load(tenant, save_id, leaving, self._clock.now())
        if loaded.outcome.memories_hidden >= MANY_MEMORIES:
            await self._drop(await self._indexes.idle_indexes(self._exact_memories, tenant, leaving.player_id))
        await self._remember(tenant, loaded.not_remembered)
        return loaded.outcome

    async def _drop(self, names: Sequence[str]) -> None:
        for name in names:
            log.info("index dropped for a large load", extra={"index": name})
            await self._indexes.drop_index(name)

    async def _remember(self, tenant: str, message_ids: Sequence[str]) -> None:
        """They may have been put away before a memory was made of them. That this fails does not undo the load."""
        try:
            for start in range(0, len(message_ids), MAX_MESSAGES_PER_REMEMBER):
                await self._recollection.remember(tenant, message_ids[start : start + MAX_MESSAGES_PER_REMEMBER])
        except DomainError as error:
            log.warning("messages that came back are not remembered", extra={"code": error.code})
