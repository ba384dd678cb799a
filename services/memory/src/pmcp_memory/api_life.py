"""The HTTP face of single memories: contract models in and out, one use case a route.

Stands on `keeping`; errors leave as domain errors, which the plumbing turns into problem documents.
"""

from __future__ import annotations

from fastapi import APIRouter, Response

from pmcp_common.contracts.memory_life import (
    EditMemory,
    Erased,
    MemoryRecord,
    MergeMemories,
    StoredMemories,
    StoreMemories,
)
from pmcp_common.contracts.personas import Contract, Identifier
from pmcp_memory.keeping import Keeping
from pmcp_memory.recall_store import Viewer


def life_routes(keeping: Keeping) -> APIRouter:
    router = APIRouter(prefix="/v1/{tenant}")

    @router.post("/memories", response_model=StoredMemories)
    async def store(tenant: Identifier, body: StoreMemories) -> Response:
        return _answer(await keeping.store(tenant, body))

    @router.post("/memories/merge", response_model=MemoryRecord)
    async def merge(tenant: Identifier, body: MergeMemories) -> Response:
        return _answer(await keeping.merge(tenant, body))

    @router.get("/memories/{memory_id}", response_model=MemoryRecord)
    async def read(
        tenant: Identifier, memory_id: Identifier, persona_id: Identifier, player_id: Identifier | None = None
    ) -> Response:
        return _answer(await keeping.read(Viewer(tenant, persona_id, player_id or ""), memory_id))

    @router.patch("/memories/{memory_id}", response_model=MemoryRecord)
    async def edit(tenant: Identifier, memory_id: Identifier, body: EditMemory) -> Response:
        return _answer(await keeping.edit(tenant, memory_id, body))

    @router.delete("/memories/{memory_id}", response_model=Erased)
    async def forget(
        tenant: Identifier, memory_id: Identifier, persona_id: Identifier, player_id: Identifier | None = None
    ) -> Response:
        return _answer(await keeping.forget(Viewer(tenant, persona_id, player_id or ""), memory_id))

    return router


def _answer(contract: Contract) -> Response:
    return Response(contract.__pydantic_serializer__.to_json(contract), media_type="application/json")
