"""The memory service in this process, on a database of its own, with an embedder that a test can break."""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources.abc import Traversable
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from pmcp_memory.app import build_app
from pmcp_memory.embedding import Embedder, EmbeddingFailed, Urgency, Vector
from pmcp_memory.settings import MemorySettings
from pmcp_memory.store import MIGRATIONS

DIMENSION = 384


class WordEmbedder:
    """Texts are near when they share words. Same interface and failure as the real ones."""

    def __init__(self) -> None:
        self.name = "words"
        self.broken = False
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        if self.broken:
            raise EmbeddingFailed("The embedding model failed")
        self.asked.extend(texts)
        return [self._vector(text) for text in texts]

    async def close(self) -> None:
        return None

    @staticmethod
    def _vector(text: str) -> Vector:
        values = [0.01] * DIMENSION
        for word in text.lower().split():
            digest = hashlib.blake2b(word.strip("?!.,").encode(), digest_size=4).digest()
            values[int.from_bytes(digest) % DIMENSION] += 1
        length = math.sqrt(sum(value * value for value in values))
        return [value / length for value in values]


@dataclass
class Service:
    http: httpx.AsyncClient
    embedder: WordEmbedder
    dsn: str
    rows: asyncpg.Connection
    """A connection of the test's own."""
    _count: int = field(default=0)

    def turn(self, content: str, **changes: Any) -> dict[str, Any]:
        self._count += 1
        return {
            "message_id": f"m{self._count}",
            "conversation_id": "c1",
            "persona_id": "aria",
            "player_id": "p1",
            "role": "user",
            "content": content,
            "created_at": datetime(2026, 3, 1, 12, tzinfo=UTC).isoformat(),
            **changes,
        }

    async def commit(self, *turns: dict[str, Any], tenant: str = "local") -> httpx.Response:
        return await self.http.post(f"/v1/{tenant}/turns", json={"turns": turns})

    async def remember(self, *turns: dict[str, Any], tenant: str = "local") -> httpx.Response:
        ids = [turn["message_id"] for turn in turns]
        return await self.http.post(f"/v1/{tenant}/remember", json={"message_ids": ids})

    async def learn(self, content: str, *, tenant: str = "local", **changes: Any) -> dict[str, Any]:
        turn = self.turn(content, **changes)
        assert (await self.commit(turn, tenant=tenant)).json() == {"stored": 1}
        assert (await self.remember(turn, tenant=tenant)).json() == {"stored": 1}
        return turn

    async def summarised(
        self, conversation_id: str, content: str, persona_id: str = "aria", player_id: str = "p1"
    ) -> None:
        """A summary is there, however it came about."""
        await self.rows.execute(
            "INSERT INTO memory.summaries (tenant_id, conversation_id, persona_id, player_id, content, upto_position)"
            " VALUES ('local', $1, $2, $3, $4, 1)",
            conversation_id,
            persona_id,
            player_id,
            content,
        )

    async def context(self, query: str, *, tenant: str = "local", **changes: Any) -> dict[str, Any]:
        body = {"persona_id": "aria", "player_id": "p1", "conversation_id": "c1", "query": query, **changes}
        answer = await self.http.post(f"/v1/{tenant}/context", json=body)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    async def search(self, query: str, *, tenant: str = "local", **changes: Any) -> list[str]:
        body = {"persona_id": "aria", "player_id": "p1", "query": query, **changes}
        answer = await self.http.post(f"/v1/{tenant}/memories/search", json=body)
        assert answer.status_code == 200, answer.text
        return [memory["content"] for memory in answer.json()["memories"]]

    async def records(self, player_id: str = "p1") -> dict[str, list[Any]]:
        """All that is kept of a player, of all pages, by kind."""
        kept: dict[str, list[Any]] = {"memories": [], "turns": [], "summaries": [], "waiting": []}
        params: dict[str, str] = {}
        while True:
            answer = await self.http.get(f"/v1/local/players/{player_id}/records", params=params)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            for kind, records in kept.items():
                records += page[kind]
            if page["next"] is None:
                return kept
            params["after"] = page["next"]


@pytest.fixture
async def service(
    make_database: Callable[[Mapping[str, Traversable]], Awaitable[str]],
) -> AsyncIterator[Service]:
    dsn = await make_database({"memory": MIGRATIONS})
    embedder = WordEmbedder()

    async def given(_settings: MemorySettings) -> Embedder:
        return embedder

    settings = MemorySettings(postgres_dsn=SecretStr(dsn), embedder_cache_entries=1)
    app = build_app(settings, embedder=given)
    async with app.router.lifespan_context(app):
        rows = await asyncpg.connect(dsn)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://memory") as http:
            yield Service(http, embedder, dsn, rows)
        await rows.close()
