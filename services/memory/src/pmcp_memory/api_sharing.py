"""The HTTP face of memories that are shared or public: searched and counted. Stands on `sharing`."""

from __future__ import annotations

from fastapi import APIRouter

from pmcp_common.contracts.memory_sharing import SharedFound, SharedSearch, SharedStats
from pmcp_common.contracts.personas import Identifier
from pmcp_memory.sharing import Sharing


def sharing_routes(sharing: Sharing) -> APIRouter:
    router = APIRouter(prefix="/v1/{tenant}/shared-memories")

    @router.post("/search")
    async def search_shared(tenant: Identifier, body: SharedSearch) -> SharedFound:
        return await sharing.search(tenant, body)

    @router.get("/stats")
    async def shared_stats(tenant: Identifier) -> SharedStats:
        return await sharing.stats(tenant)

    return router
