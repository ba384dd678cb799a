"""Single memories of the memory service over HTTP: adapter of `peers.KeepingPeer`, off the reply path."""

from __future__ import annotations

from urllib.parse import quote

import aiohttp

from pmcp_common.contracts.memory_life import StoredMemories, StoreMemories
from pmcp_common.peers_http import Peer


class HttpKeepingPeer(Peer):
    def __init__(self, session: aiohttp.ClientSession, base_url: str, *, timeout_seconds: float = 3.0) -> None:
        super().__init__(session, base_url, "memory", timeout_seconds=timeout_seconds)

    async def store(self, tenant: str, memories: StoreMemories) -> StoredMemories:
        return await self._ask(StoredMemories, "POST", f"/v1/{quote(tenant, safe='')}/memories", body=memories)
