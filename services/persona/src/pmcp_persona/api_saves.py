"""The persona service's part of saves, and of forgetting a player, over HTTP: one use case a route."""

from __future__ import annotations

from fastapi import APIRouter

from pmcp_common.clock import Clock
from pmcp_common.contracts.saves import LoadPersonas, PersonasLoaded, PersonasSaved, PlayerForgotten, SavePersonas
from pmcp_persona.saves import Saves
from pmcp_persona.segments import Segment


def save_routes(saves: Saves, clock: Clock) -> APIRouter:
    router = APIRouter(prefix="/v1/{tenant}", tags=["saves"])

    @router.put("/saves/{save_id}")
    async def save(tenant: Segment, save_id: Segment, body: SavePersonas) -> PersonasSaved:
        return await saves.save(tenant, save_id, body.player_id, clock.now())

    @router.post("/saves/{save_id}/load")
    async def load(tenant: Segment, save_id: Segment, body: LoadPersonas) -> PersonasLoaded:
        return await saves.load(tenant, save_id, body, clock.now())

    @router.delete("/players/{player_id}")
    async def forget_player(tenant: Segment, player_id: Segment) -> PlayerForgotten:
        return await saves.forget(tenant, player_id)

    return router
