"""The use cases of memories that personas share: searched by one of them, counted for all. Never a private one."""

from __future__ import annotations

from pmcp_common.contracts.memories import Visibility
from pmcp_common.contracts.memory_sharing import SharedFound, SharedSearch, SharedStats
from pmcp_memory.access_counts import AccessCounts
from pmcp_memory.embedding import Embedder, Urgency
from pmcp_memory.recall_store import Viewer
from pmcp_memory.sharing_store import SharingStore


class Sharing:
    def __init__(self, store: SharingStore, embedder: Embedder, accesses: AccessCounts) -> None:
        self._store = store
        self._embedder = embedder
        self._accesses = accesses

    async def search(self, tenant: str, request: SharedSearch) -> SharedFound:
        wanted = [Visibility.SHARED] * request.include_shared + [Visibility.PUBLIC] * request.include_public
        if not wanted:
            return SharedFound(memories=())
        (vector,) = await self._embedder.embed([request.query], Urgency.QUERY)
        viewer = Viewer(tenant, request.persona_id, request.player_id)
        found = await self._store.search(
            viewer, vector, self._embedder.name, wanted, request.min_importance, request.n_results
        )
        self._accesses.note(tenant, [memory.id for memory in found])
        return SharedFound(memories=found)

    async def stats(self, tenant: str) -> SharedStats:
        return SharedStats(personas=await self._store.stats(tenant))
