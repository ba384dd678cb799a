"""The HTTP face of conversations: history, facts, summaries, forgetting. Internal, like `api`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from pmcp_common.clock import Clock
from pmcp_common.contracts.conversations import (
    MAX_EXCHANGES,
    ConversationFacts,
    ExchangePage,
    Forgotten,
    SummaryDraft,
    SummaryTask,
    SummaryWritten,
)
from pmcp_common.contracts.memories import MAX_TURNS_IN_CONTEXT
from pmcp_common.contracts.personas import Identifier
from pmcp_memory.conversation_store import ConversationStore, Side


def conversation_routes(store: ConversationStore, clock: Clock) -> APIRouter:
    router = APIRouter(prefix="/v1/{tenant}")

    @router.get("/conversations/{conversation_id}")
    async def get_facts(
        tenant: Identifier, conversation_id: Identifier, persona_id: Identifier, player_id: Identifier
    ) -> ConversationFacts:
        return await store.facts(tenant, Side(conversation_id, persona_id, player_id))

    @router.get("/conversations/{conversation_id}/exchanges")
    async def get_exchanges(
        tenant: Identifier,
        conversation_id: Identifier,
        persona_id: Identifier,
        player_id: Identifier,
        limit: Annotated[int, Query(ge=1, le=MAX_EXCHANGES)] = 20,
        before_id: Identifier | None = None,
    ) -> ExchangePage:
        return await store.exchanges(tenant, Side(conversation_id, persona_id, player_id), limit, before_id)

    @router.get("/conversations/{conversation_id}/summary-task")
    async def get_summary_task(
        tenant: Identifier,
        conversation_id: Identifier,
        persona_id: Identifier,
        player_id: Identifier,
        keep: Annotated[int, Query(ge=0, le=MAX_TURNS_IN_CONTEXT)] = 20,
        after: Annotated[int, Query(ge=1, le=10_000)] = 50,
        batch: Annotated[int, Query(ge=1, le=100)] = 10,
    ) -> SummaryTask:
        side = Side(conversation_id, persona_id, player_id)
        return await store.summary_task(tenant, side, keep=keep, after=after, batch=batch)

    @router.put("/conversations/{conversation_id}/summary")
    async def write_summary(tenant: Identifier, conversation_id: Identifier, body: SummaryDraft) -> SummaryWritten:
        return SummaryWritten(version=await store.write_summary(tenant, conversation_id, body, clock.now()))

    @router.delete("/players/{player_id}")
    async def forget_player(tenant: Identifier, player_id: Identifier) -> Forgotten:
        return await store.forget(tenant, player_id)

    return router
