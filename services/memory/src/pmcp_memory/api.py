"""The HTTP face of the memory service: contract models in and out, one use case a route.

Stands on `recollection`; errors leave as domain errors, which the plumbing turns into problem documents.
Internal: its only callers are the other services. Answers are written by pydantic's own serialiser: they
are contracts already.
"""

from __future__ import annotations

from fastapi import APIRouter, Response

from pmcp_common.contracts.memories import (
    CommitResult,
    CommitTurns,
    ContextRequest,
    ContextResponse,
    MemoryStats,
    RecallRequest,
    RecallResponse,
    RememberRequest,
    Turn,
)
from pmcp_common.contracts.personas import Contract, Identifier
from pmcp_memory.recollection import Recollection


def memory_routes(recollection: Recollection) -> APIRouter:
    router = APIRouter(prefix="/v1/{tenant}")

    @router.post("/context", response_model=ContextResponse)
    async def get_context(tenant: Identifier, body: ContextRequest) -> Response:
        return _answer(await recollection.context(tenant, body))

    @router.post("/turns", response_model=CommitResult)
    async def commit_turns(tenant: Identifier, body: CommitTurns) -> Response:
        return _answer(await recollection.commit(tenant, body.turns))

    @router.get("/turns/{message_id}", response_model=Turn)
    async def get_turn(tenant: Identifier, message_id: Identifier) -> Response:
        return _answer(await recollection.find_turn(tenant, message_id))

    @router.post("/remember", response_model=CommitResult)
    async def remember(tenant: Identifier, body: RememberRequest) -> Response:
        return _answer(await recollection.remember(tenant, body.message_ids, body.standing))

    @router.post("/memories/search", response_model=RecallResponse)
    async def search(tenant: Identifier, body: RecallRequest) -> Response:
        return _answer(await recollection.search(tenant, body))

    @router.get("/memories/stats", response_model=MemoryStats, response_model_exclude_none=True)
    async def get_stats(tenant: Identifier, persona_id: Identifier, player_id: Identifier) -> Response:
        return _answer(await recollection.stats(tenant, persona_id, player_id), exclude_none=True)

    return router


def _answer(contract: Contract, *, exclude_none: bool = False) -> Response:
    body = contract.__pydantic_serializer__.to_json(contract, exclude_none=exclude_none)
    return Response(body, media_type="application/json")
