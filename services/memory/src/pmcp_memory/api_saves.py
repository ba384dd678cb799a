"""The HTTP face of saves: contract models in and out, one use case a route. Internal, like `api`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from pmcp_common.clock import Clock
from pmcp_common.contracts.personas import Identifier
from pmcp_common.contracts.saves import MAX_SAVES_LISTED, LoadWorld, SaveRecord, SaveRecords, SaveWorld, WorldLoaded
from pmcp_memory.loading import Loading
from pmcp_memory.saves_store import SavesStore


def save_routes(store: SavesStore, loading: Loading, clock: Clock) -> APIRouter:
    router = APIRouter(prefix="/v1/{tenant}")

    @router.post("/saves", status_code=201)
    async def save(tenant: Identifier, body: SaveWorld) -> SaveRecord:
        return await store.save(tenant, body, clock.now())

    @router.get("/players/{player_id}/saves")
    async def list_saves(
        tenant: Identifier,
        player_id: Identifier,
        limit: Annotated[int, Query(ge=1, le=MAX_SAVES_LISTED)] = MAX_SAVES_LISTED,
    ) -> SaveRecords:
        return SaveRecords(saves=await store.list(tenant, player_id, limit))

    @router.get("/players/{player_id}/save")
    async def find_save(tenant: Identifier, player_id: Identifier, save_id: Identifier | None = None) -> SaveRecord:
        """Without an id the newest that the player made."""
        return await store.find(tenant, player_id, save_id)

    @router.post("/saves/{save_id}/load")
    async def load(tenant: Identifier, save_id: Identifier, body: LoadWorld) -> WorldLoaded:
        return await loading.load(tenant, save_id, body.leaving)

    return router
