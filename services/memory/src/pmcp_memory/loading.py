"""The use case of a load: the rows by `saves_store`, and before and after it what a large one needs.

An index of a large memory is in the way of a large load: what comes back would enter it one by one (it is quicker made
anew), and what goes leaves it full of the dead, among which a search finds too few that live. It is dropped then, and
recall is exact until upkeep has made another.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from pmcp_common.clock import Clock
from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.memories import CommitResult
from pmcp_common.contracts.saves import SaveWorld, WorldLoaded
from pmcp_memory.saves_store import SavesStore

log = logging.getLogger(__name__)

MANY_MEMORIES = 2_000
"""To be moved at once: entering an HNSW index they take some four seconds."""


class Remembers(Protocol):
    async def remember(self, tenant: str, message_ids: Sequence[str]) -> CommitResult: ...


class Indexes(Protocol):
    """Those over one large memory each; readers and writers go on while one is dropped."""

    async def idle_indexes(self, fewer_than: int) -> list[str]: ...

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
            await self._drop(await self._store.indexes_of(tenant, leaving.player_id))
        loaded = await self._store.load(tenant, save_id, leaving, self._clock.now())
        if loaded.outcome.memories_hidden >= MANY_MEMORIES:
            await self._drop(await self._indexes.idle_indexes(self._exact_memories // 2))
        if loaded.not_remembered:
            await self._remember(tenant, loaded.not_remembered)
        return loaded.outcome

    async def _drop(self, names: Sequence[str]) -> None:
        for name in names:
            log.info("index dropped for a large load", extra={"index": name})
            await self._indexes.drop_index(name)

    async def _remember(self, tenant: str, message_ids: Sequence[str]) -> None:
        """They had been put away before a memory was made of them. That this fails does not undo the load."""
        try:
            await self._recollection.remember(tenant, message_ids)
        except DomainError as error:
            log.warning("messages that came back are not remembered", extra={"code": error.code})
