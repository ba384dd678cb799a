"""The HTTP face of decay and pruning: contract models in and out, one use case a route.

Stands on `tending`; errors leave as domain errors, which the plumbing turns into problem documents.
"""

from __future__ import annotations

from fastapi import APIRouter

from pmcp_common.contracts.memory_tending import (
    CycleDone,
    DecayFigures,
    DecaySwitch,
    Faded,
    FadeRequest,
    Pruned,
    PrunedAll,
    PruneFigures,
    PruneOutlook,
    PruneRequest,
)
from pmcp_common.contracts.personas import Identifier
from pmcp_memory.tending import Tending


def tending_routes(tending: Tending) -> APIRouter:
    router = APIRouter(prefix="/v1/{tenant}")

    @router.post("/prunings")
    async def prune(tenant: Identifier, body: PruneRequest) -> Pruned:
        return await tending.prune(tenant, body)

    @router.post("/prunings/all")
    async def prune_all(tenant: Identifier, dry_run: bool = False) -> PrunedAll:
        return await tending.prune_all(tenant, dry_run=dry_run)

    @router.get("/prunings")
    async def prune_figures(tenant: Identifier) -> PruneFigures:
        return await tending.prune_figures(tenant)

    @router.get("/prunings/outlook")
    async def prune_outlook(
        tenant: Identifier, persona_id: Identifier, player_id: Identifier | None = None
    ) -> PruneOutlook:
        return await tending.outlook(tenant, persona_id, player_id)

    @router.get("/decay")
    async def decay_figures(tenant: Identifier) -> DecayFigures:
        return await tending.decay_figures(tenant)

    @router.put("/decay")
    async def switch_decay(tenant: Identifier, body: DecaySwitch) -> DecayFigures:
        return await tending.switch(tenant, body)

    @router.post("/decay/cycles")
    async def force_cycle(tenant: Identifier) -> CycleDone:
        return await tending.force_cycle(tenant)

    @router.post("/decay/fadings")
    async def fade(tenant: Identifier, body: FadeRequest) -> Faded:
        return await tending.fade(tenant, body)

    return router
