"""What is learned from conversations, over HTTP: adapter of `peers.LearningPeer`, off the reply path."""

from __future__ import annotations

from urllib.parse import quote

import aiohttp

from pmcp_common.contracts.learning import Learned, LearningDraft, LearningTask
from pmcp_common.peers_http import Peer

LEARNING_SECONDS = 20.0
"""Vectors of what was learned are made meanwhile; nobody's reply waits."""


class HttpLearningPeer(Peer):
    def __init__(
        self, session: aiohttp.ClientSession, base_url: str, *, timeout_seconds: float = LEARNING_SECONDS
    ) -> None:
        super().__init__(session, base_url, "memory", timeout_seconds=timeout_seconds)

    async def learning_task(
        self, tenant: str, conversation_id: str, persona_id: str, player_id: str, *, batch: int
    ) -> LearningTask:
        query = {"persona_id": persona_id, "player_id": player_id, "batch": str(batch)}
        return await self._ask(LearningTask, "GET", f"{_path(tenant, conversation_id)}/learning-task", query=query)

    async def learn(self, tenant: str, conversation_id: str, draft: LearningDraft) -> int:
        return (await self._ask(Learned, "POST", f"{_path(tenant, conversation_id)}/lessons", body=draft)).stored


def _path(tenant: str, conversation_id: str) -> str:
    return f"/v1/{quote(tenant, safe='')}/conversations/{quote(conversation_id, safe='')}"
