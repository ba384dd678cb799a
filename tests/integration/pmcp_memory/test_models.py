"""Embedding models of different dimensions on one database: changed without a pause, agreed on, never mixed.

Both embedders are real: the embedded one, and a server that speaks OpenAI's API and gives the same model's vectors,
turned into another space of more dimensions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.resources.abc import Traversable

import aiohttp
import asyncpg
import httpx
import numpy as np
import pytest
from aiohttp import web
from pydantic import SecretStr

from pmcp_common.clock import SystemClock
from pmcp_common.postgres import connect_pool
from pmcp_memory.app import build_app
from pmcp_memory.database import UPKEEP_SETTINGS, Database
from pmcp_memory.decay import DecayMode
from pmcp_memory.embedding import Embedder, EmbeddingFailed
from pmcp_memory.embedding_checked import CheckedEmbedder
from pmcp_memory.embedding_minilm import MiniLmEmbedder, open_minilm
from pmcp_memory.embedding_openai import OpenAiEmbedder
from pmcp_memory.model_store import ModelStore
from pmcp_memory.settings import MemorySettings
from pmcp_memory.store import MIGRATIONS
from pmcp_memory.tending import Rules, Tending
from pmcp_memory.tending_store import TendingStore
from pmcp_memory.upkeep import Upkeep
from pmcp_memory.upkeep_store import UpkeepStore

DIMENSION = 640
FACTS = ("My dog is called Rex", "I grew up in Merrow by the sea", "I am afraid of deep water")
OWNER = {"persona_id": "aria", "player_id": "p1"}


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> MiniLmEmbedder:
    return open_minilm(tmp_path_factory.mktemp("model"))


@pytest.fixture
async def server(minilm: MiniLmEmbedder, free_port: int) -> AsyncIterator[str]:
    axes, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((DIMENSION, 384)))

    async def answer(request: web.Request) -> web.Response:
        vectors = await minilm.embed((await request.json())["input"])
        data = [{"index": place, "embedding": (axes @ np.array(one)).tolist()} for place, one in enumerate(vectors)]
        return web.json_response({"data": data})

    app = web.Application()
    app.router.add_post("/v1/embeddings", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", free_port).start()
    yield f"http://127.0.0.1:{free_port}"
    await runner.cleanup()


@pytest.fixture
async def dsn(make_database: Callable[[Mapping[str, Traversable]], Awaitable[str]]) -> str:
    return await make_database({"memory": MIGRATIONS})


@asynccontextmanager
async def running(dsn: str, embedder: Embedder) -> AsyncIterator[httpx.AsyncClient]:
    """A replica with that model; nothing of its upkeep runs by itself."""

    async def given(_settings: MemorySettings) -> Embedder:
        return embedder

    app = build_app(MemorySettings(postgres_dsn=SecretStr(dsn), memory_upkeep_seconds=86_400), embedder=given)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://memory") as http,
    ):
        yield http


@asynccontextmanager
async def upkeep(dsn: str, embedder: Embedder, holder: str, *, exact: int = 20_000) -> AsyncIterator[Upkeep]:
    pool = await connect_pool(dsn, application_name=holder, vectors=True, session_settings=UPKEEP_SETTINGS)
    database, clock = Database(pool, acquire_timeout_seconds=5), SystemClock()
    models = ModelStore(database)
    tending = Tending(TendingStore(database), clock, Rules(DecayMode.NONE, max_memories=100_000))
    checked = CheckedEmbedder(embedder, models)
    yield Upkeep(UpkeepStore(database), models, tending, checked, clock, holder, exact_memories=exact)
    await pool.close()


async def store(http: httpx.AsyncClient, *contents: str) -> None:
    body = {**OWNER, "memories": [{"content": content} for content in contents]}
    answer = await http.post("/v1/local/memories", json=body)
    assert answer.status_code == 200, answer.text


async def best(http: httpx.AsyncClient, query: str) -> str:
    answer = await http.post("/v1/local/memories/search", json={**OWNER, "query": query})
    assert answer.status_code == 200, answer.text
    found = answer.json()["memories"]
    return str(found[0]["content"]) if found else ""


async def models_of(dsn: str) -> set[tuple[str, int]]:
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch(
        "SELECT DISTINCT embedding_model, public.vector_dims(embedding) AS dimension FROM memory.memories"
    )
    await connection.close()
    return {(row["embedding_model"], row["dimension"]) for row in rows}


async def test_a_model_of_another_dimension_takes_over_while_memories_are_stored_and_found(
    dsn: str, minilm: MiniLmEmbedder, server: str
) -> None:
    async with running(dsn, Lent(minilm)) as http:
        await store(http, *FACTS)
        assert await best(http, "Which pet do I own?") == FACTS[0]
    other = OpenAiEmbedder(aiohttp.ClientSession(), server, "turned")
    async with running(dsn, other) as http, upkeep(dsn, other, "one") as work:
        # Not embedded anew yet: found by its words, beside new ones by meaning.
        assert await best(http, "the dog Rex") == FACTS[0]
        await store(http, "My brother paints boats for a living")
        assert await best(http, "What is the job of my sibling?") == "My brother paints boats for a living"
        assert await models_of(dsn) == {(minilm.name, 384), ("openai/turned", DIMENSION)}
        await work.run_once()
        assert await models_of(dsn) == {("openai/turned", DIMENSION)}
        assert await best(http, "Which pet do I own?") == FACTS[0]


async def test_replicas_with_different_models_do_not_undo_each_others_work(
    dsn: str, minilm: MiniLmEmbedder, server: str
) -> None:
    other = OpenAiEmbedder(aiohttp.ClientSession(), server, "turned")
    async with (
        running(dsn, Lent(minilm)) as old,
        running(dsn, other) as new,
        upkeep(dsn, Lent(minilm), "old") as ours,
        upkeep(dsn, other, "new") as theirs,
    ):
        await ours.run_once()
        await store(old, *FACTS)
        await store(new, "My brother paints boats for a living")
        for _ in range(3):
            await theirs.run_once()
            assert (minilm.name, 384) in await models_of(dsn)
            await ours.run_once()
            assert await models_of(dsn) == {(minilm.name, 384)}
        # The last replica with the old model was seen long ago.
        connection = await asyncpg.connect(dsn)
        await connection.execute("UPDATE memory.agreed_model SET held_until = now() - interval '1 second'")
        await connection.close()
        await theirs.run_once()
        assert await models_of(dsn) == {("openai/turned", DIMENSION)}
        await ours.run_once()
        assert await models_of(dsn) == {("openai/turned", DIMENSION)}
        assert await best(new, "Which pet do I own?") == FACTS[0]
        assert await best(old, "the dog Rex") == FACTS[0]


async def test_a_name_keeps_its_dimension(dsn: str, minilm: MiniLmEmbedder, server: str) -> None:
    pool = await connect_pool(dsn, application_name="test", vectors=True)
    models = ModelStore(Database(pool, acquire_timeout_seconds=5))
    assert await models.dimension_of("openai/turned", 384) == 384
    assert await models.dimension_of("openai/turned", DIMENSION) == 384
    embedder = CheckedEmbedder(OpenAiEmbedder(aiohttp.ClientSession(), server, "turned"), models)
    with pytest.raises(EmbeddingFailed, match=f"{DIMENSION} dimensions"):
        await embedder.embed(["one"])
    await embedder.close()
    await pool.close()


async def test_a_large_memory_of_any_dimension_is_searched_by_its_own_index(
    dsn: str, minilm: MiniLmEmbedder, server: str
) -> None:
    other = OpenAiEmbedder(aiohttp.ClientSession(), server, "turned")
    async with running(dsn, other) as http, upkeep(dsn, other, "one", exact=100) as work:
        await store(http, *FACTS, *(f"The number of the house is {number}" for number in range(120)))
        await work.run_once()
        connection = await asyncpg.connect(dsn)
        definition = await connection.fetchval(
            "SELECT pg_get_indexdef(to_regclass('memory.' || index_name)) FROM memory.near_indexes"
        )
        await connection.close()
        assert f"halfvec({DIMENSION})" in definition
        assert await best(http, "Which pet do I own?") == FACTS[0]


class Lent:
    """The module's own model, which outlives a replica."""

    def __init__(self, inner: MiniLmEmbedder) -> None:
        self.name = inner.name
        self.embed = inner.embed

    async def close(self) -> None:
        return None
