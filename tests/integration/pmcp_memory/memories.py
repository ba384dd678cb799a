"""What tests of single memories do with them, through the API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
import pytest

from pmcp_memory.embedding import Urgency, Vector
from tests.integration.pmcp_memory.conftest import Service

OWNER = {"persona_id": "aria", "player_id": "p1"}


async def store(service: Service, *contents: str, **changes: Any) -> list[str]:
    body = {**OWNER, "memories": [{"content": content} for content in contents], **changes}
    answer = await service.http.post("/v1/local/memories", json=body)
    assert answer.status_code == 200, answer.text
    ids: list[str] = answer.json()["ids"]
    return ids


async def read(service: Service, memory_id: str, **changes: str) -> dict[str, Any]:
    answer = await service.http.get(f"/v1/local/memories/{memory_id}", params={**OWNER, **changes})
    document: dict[str, Any] = answer.json()
    return document | {"status": answer.status_code}


async def memory_of(service: Service, message_id: str) -> str:
    found: str = await service.rows.fetchval(
        "SELECT id FROM memory.memories WHERE $1 = ANY (source_message_ids)", message_id
    )
    return found


async def forget(service: Service, memory_id: str) -> dict[str, int]:
    answer = await service.http.delete(f"/v1/local/memories/{memory_id}", params=OWNER)
    assert answer.status_code == 200, answer.text
    erased: dict[str, int] = answer.json()
    return erased


async def remember_while(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    turn: dict[str, Any],
    meanwhile: Callable[[], Awaitable[object]],
) -> httpx.Response:
    """`meanwhile` runs while the vectors are made."""
    asked, done = asyncio.Event(), asyncio.Event()
    embed = service.embedder.embed

    async def wait(texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        asked.set()
        await done.wait()
        return await embed(texts, urgency)

    monkeypatch.setattr(service.embedder, "embed", wait)
    async with asyncio.timeout(5):
        remembering = asyncio.create_task(service.remember(turn))
        await asked.wait()
        await meanwhile()
        done.set()
        return await remembering
