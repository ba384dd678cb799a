"""The HTTP face of reading: a persona's memories as a player may see them, a player's records; page by page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from pmcp_common.contracts.memories import MemoryType, Visibility
from pmcp_common.contracts.memory_life import MAX_MEMORIES_PER_PAGE, MAX_RECORDS_PER_PAGE, ExportPage, MemoryPage
from pmcp_common.contracts.personas import Identifier
from pmcp_memory.inspection_store import InspectionStore
from pmcp_memory.recall_store import Viewer


def inspection_routes(store: InspectionStore) -> APIRouter:
    router = APIRouter(prefix="/v1/{tenant}")

    @router.get("/memories")
    async def list_memories(
        tenant: Identifier,
        persona_id: Identifier,
        player_id: Identifier | None = None,
        limit: Annotated[int, Query(ge=1, le=MAX_MEMORIES_PER_PAGE)] = 20,
        before: Identifier | None = None,
        memory_type: MemoryType | None = None,
        visibility: Visibility | None = None,
    ) -> MemoryPage:
        viewer = Viewer(tenant, persona_id, player_id or "")
        return await store.list_memories(viewer, limit, before, memory_type, visibility)

    @router.get("/players/{player_id}/records")
    async def export_page(
        tenant: Identifier,
        player_id: Identifier,
        after: Annotated[str | None, Query(max_length=250)] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_RECORDS_PER_PAGE)] = 100,
    ) -> ExportPage:
        return await store.export(tenant, player_id, after, limit)

    return router
