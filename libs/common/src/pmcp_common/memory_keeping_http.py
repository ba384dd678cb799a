"""Single memories of the memory service over HTTP: adapter of `peers.KeepingPeer`, off the reply path."""

from __future__ import annotations

from urllib.parse import quote

import aiohttp

from pmcp_common.contracts.memory_life import (
    EditMemory,
    Erased,
    ExportPage,
    MemoryPage,
    MemoryRecord,
    MergeMemories,
    StoredMemories,
    StoreMemories,
)
from pmcp_common.contracts.memory_sharing import SharedFound, SharedSearch, SharedStats
from pmcp_common.peers_http import Peer


class HttpKeepingPeer(Peer):
    def __init__(self, session: aiohttp.ClientSession, base_url: str, *, timeout_seconds: float = 3.0) -> None:
        super().__init__(session, base_url, "memory", timeout_seconds=timeout_seconds)

    async def store(self, tenant: str, memories: StoreMemories) -> StoredMemories:
        return await self._ask(StoredMemories, "POST", _memories(tenant), body=memories)

    async def list_memories(
        self,
        tenant: str,
        persona_id: str,
        player_id: str,
        *,
        limit: int,
        before: str | None,
        memory_type: str | None,
        visibility: str | None,
    ) -> MemoryPage:
        wanted = {"before": before, "memory_type": memory_type, "visibility": visibility}
        given = {name: value for name, value in wanted.items() if value is not None}
        query = {"persona_id": persona_id, "player_id": player_id, "limit": str(limit), **given}
        return await self._ask(MemoryPage, "GET", _memories(tenant), query=query)

    async def read(self, tenant: str, persona_id: str, player_id: str, memory_id: str) -> MemoryRecord:
        query = {"persona_id": persona_id, "player_id": player_id}
        return await self._ask(MemoryRecord, "GET", _memory(tenant, memory_id), query=query)

    async def edit(self, tenant: str, memory_id: str, change: EditMemory) -> MemoryRecord:
        return await self._ask(MemoryRecord, "PATCH", _memory(tenant, memory_id), body=change)

    async def merge(self, tenant: str, request: MergeMemories) -> MemoryRecord:
        return await self._ask(MemoryRecord, "POST", f"{_memories(tenant)}/merge", body=request)

    async def forget(self, tenant: str, persona_id: str, player_id: str, memory_id: str) -> Erased:
        query = {"persona_id": persona_id, "player_id": player_id}
        return await self._ask(Erased, "DELETE", _memory(tenant, memory_id), query=query)

    async def export_page(self, tenant: str, player_id: str, after: str | None, limit: int) -> ExportPage:
        query = {"limit": str(limit)} if after is None else {"limit": str(limit), "after": after}
        path = f"/v1/{quote(tenant, safe='')}/players/{quote(player_id, safe='')}/records"
        return await self._ask(ExportPage, "GET", path, query=query)

    async def search_shared(self, tenant: str, request: SharedSearch) -> SharedFound:
        return await self._ask(
            SharedFound, "POST", f"/v1/{quote(tenant, safe='')}/shared-memories/search", body=request
        )

    async def shared_stats(self, tenant: str) -> SharedStats:
        return await self._ask(SharedStats, "GET", f"/v1/{quote(tenant, safe='')}/shared-memories/stats")


def _memories(tenant: str) -> str:
    return f"/v1/{quote(tenant, safe='')}/memories"


def _memory(tenant: str, memory_id: str) -> str:
    return f"{_memories(tenant)}/{quote(memory_id, safe='')}"
