"""The memory service's conversations over HTTP: adapter of `peers.ConversationPeer`, off the reply path."""

from __future__ import annotations

from urllib.parse import quote

import aiohttp

from pmcp_common.contracts.conversations import (
    ConversationFacts,
    ExchangePage,
    Forgotten,
    SummaryDraft,
    SummaryTask,
    SummaryWritten,
)
from pmcp_common.peers_http import Peer


class HttpConversationPeer(Peer):
    def __init__(self, session: aiohttp.ClientSession, base_url: str, *, timeout_seconds: float = 3.0) -> None:
        super().__init__(session, base_url, "memory", timeout_seconds=timeout_seconds)

    async def facts(self, tenant: str, conversation_id: str, persona_id: str, player_id: str) -> ConversationFacts:
        query = {"persona_id": persona_id, "player_id": player_id}
        return await self._ask(ConversationFacts, "GET", _path(tenant, conversation_id), query=query)

    async def exchanges(
        self, tenant: str, conversation_id: str, persona_id: str, player_id: str, limit: int, before_id: str | None
    ) -> ExchangePage:
        query = {"persona_id": persona_id, "player_id": player_id, "limit": str(limit)}
        if before_id is not None:
            query["before_id"] = before_id
        return await self._ask(ExchangePage, "GET", f"{_path(tenant, conversation_id)}/exchanges", query=query)

    async def summary_task(
        self, tenant: str, conversation_id: str, persona_id: str, player_id: str, *, keep: int, after: int, batch: int
    ) -> SummaryTask:
        numbers = {"keep": str(keep), "after": str(after), "batch": str(batch)}
        query = {"persona_id": persona_id, "player_id": player_id, **numbers}
        return await self._ask(SummaryTask, "GET", f"{_path(tenant, conversation_id)}/summary-task", query=query)

    async def write_summary(self, tenant: str, conversation_id: str, draft: SummaryDraft) -> int:
        path = f"{_path(tenant, conversation_id)}/summary"
        return (await self._ask(SummaryWritten, "PUT", path, body=draft)).version

    async def forget_player(self, tenant: str, player_id: str) -> Forgotten:
        path = f"/v1/{quote(tenant, safe='')}/players/{quote(player_id, safe='')}"
        return await self._ask(Forgotten, "DELETE", path)


def _path(tenant: str, conversation_id: str) -> str:
    return f"/v1/{quote(tenant, safe='')}/conversations/{quote(conversation_id, safe='')}"
