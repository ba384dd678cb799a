"""The HTTP face of learning from conversations. Internal, like `api`; stands on `learning`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from pmcp_common.contracts.learning import MAX_TURNS_TO_LEARN, Learned, LearningDraft, LearningTask
from pmcp_common.contracts.personas import Identifier
from pmcp_memory.conversation_store import Side
from pmcp_memory.learning import Learning


def learning_routes(learning: Learning) -> APIRouter:
    router = APIRouter(prefix="/v1/{tenant}/conversations/{conversation_id}")

    @router.get("/learning-task")
    async def get_task(
        tenant: Identifier,
        conversation_id: Identifier,
        persona_id: Identifier,
        player_id: Identifier,
        batch: Annotated[int, Query(ge=1, le=MAX_TURNS_TO_LEARN)] = 10,
    ) -> LearningTask:
        return await learning.task(tenant, Side(conversation_id, persona_id, player_id), batch)

    @router.post("/lessons")
    async def learn(tenant: Identifier, conversation_id: Identifier, body: LearningDraft) -> Learned:
        return await learning.learn(tenant, conversation_id, body)

    return router
