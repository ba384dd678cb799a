"""The embedder of a server that speaks OpenAI's API, against a scripted server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from pmcp_memory.embedding import MAX_DIMENSION, EmbeddingFailed
from pmcp_memory.embedding_openai import OpenAiEmbedder

DIMENSION = 768

Answer = Callable[[list[str]], Any]


class Server:
    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, Any], str | None]] = []
        self.status = 200
        self.answer: Answer = lambda texts: {
            "data": [{"index": place, "embedding": [float(len(text))] * DIMENSION} for place, text in enumerate(texts)]
        }

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.requests.append((body, request.headers.get("authorization")))
        return web.json_response(self.answer(body["input"]), status=self.status)


@pytest.fixture
async def server(free_port: int) -> AsyncIterator[tuple[Server, str]]:
    scripted = Server()
    app = web.Application()
    app.router.add_post("/v1/embeddings", scripted.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", free_port).start()
    yield scripted, f"http://127.0.0.1:{free_port}"
    await runner.cleanup()


@pytest.fixture
async def open_embedder() -> AsyncIterator[Callable[..., Awaitable[OpenAiEmbedder]]]:
    opened: list[OpenAiEmbedder] = []

    async def make(url: str, **options: Any) -> OpenAiEmbedder:
        opened.append(OpenAiEmbedder(aiohttp.ClientSession(), url, "small", **options))
        return opened[-1]

    yield make
    for embedder in opened:
        await embedder.close()


async def test_unit_vectors_come_in_the_order_of_their_index(
    server: tuple[Server, str], open_embedder: Callable[..., Awaitable[OpenAiEmbedder]]
) -> None:
    scripted, url = server
    plain = scripted.answer
    scripted.answer = lambda texts: {"data": list(reversed(plain(texts)["data"]))}
    embedder = await open_embedder(f"{url}/v1", api_key="key")
    vectors = await embedder.embed([f"{'x' * (1 + place % 3)}" for place in range(100)])
    assert len(vectors) == 100
    assert all(sum(value * value for value in vector) == pytest.approx(1) for vector in vectors)
    bodies = [body for body, _ in scripted.requests]
    assert [len(body["input"]) for body in bodies] == [64, 36]
    assert {len(vector) for vector in vectors} == {DIMENSION}
    assert "dimensions" not in bodies[0]
    assert scripted.requests[0][1] == "Bearer key"
    assert embedder.name == "openai/small"


@pytest.mark.parametrize(
    "answer",
    [
        lambda _texts: {},
        lambda _texts: {"data": []},
        lambda _texts: {"data": [{"index": 1, "embedding": [1.0] * DIMENSION}]},
        lambda _texts: {"data": [{"index": 0, "embedding": []}]},
        lambda _texts: {"data": [{"index": 0, "embedding": [1.0] * (MAX_DIMENSION + 1)}]},
        lambda _texts: {"data": [{"index": 0, "embedding": [0.0] * DIMENSION}]},
        lambda _texts: {"data": [{"index": 0, "embedding": ["a"] * DIMENSION}]},
    ],
)
async def test_any_other_answer_is_a_failure_and_never_a_vector(
    server: tuple[Server, str], open_embedder: Callable[..., Awaitable[OpenAiEmbedder]], answer: Answer
) -> None:
    scripted, url = server
    scripted.answer = answer
    with pytest.raises(EmbeddingFailed):
        await (await open_embedder(url)).embed(["one"])


async def test_fewer_dimensions_are_asked_for_by_name_and_another_number_is_a_failure(
    server: tuple[Server, str], open_embedder: Callable[..., Awaitable[OpenAiEmbedder]]
) -> None:
    scripted, url = server
    embedder = await open_embedder(url, dimension=256)
    with pytest.raises(EmbeddingFailed, match="768 dimensions instead of 256"):
        await embedder.embed(["one"])
    assert scripted.requests[0][0]["dimensions"] == 256
    assert embedder.name == "openai/small/256"
    scripted.answer = lambda _texts: {"data": [{"index": 0, "embedding": [1.0] * 256}]}
    assert len((await embedder.embed(["one"]))[0]) == 256


async def test_a_refusal_and_an_absent_server_are_failures(
    server: tuple[Server, str], open_embedder: Callable[..., Awaitable[OpenAiEmbedder]]
) -> None:
    scripted, url = server
    scripted.status = 401
    with pytest.raises(EmbeddingFailed):
        await (await open_embedder(url)).embed(["one"])
    with pytest.raises(EmbeddingFailed):
        await (await open_embedder("http://127.0.0.1:9")).embed(["one"])
