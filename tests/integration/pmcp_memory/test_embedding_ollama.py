"""The Ollama adapter against a server that answers, refuses, lies or is away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pmcp_memory.embedding import EmbeddingFailed
from pmcp_memory.embedding_ollama import OllamaEmbedder

DIMENSION = 1024


class Server:
    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.answer: web.Response | None = None

    async def embed(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.requests.append(body)
        if self.answer is not None:
            return self.answer
        return web.json_response({"embeddings": [[3.0] + [0.0] * (DIMENSION - 1) for _ in body["input"]]})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def embedder(server: Server) -> AsyncIterator[OllamaEmbedder]:
    app = web.Application()
    app.router.add_post("/api/embed", server.embed)
    async with TestServer(app) as running:
        embedder = OllamaEmbedder(aiohttp.ClientSession(), str(running.make_url("/")), "all-minilm")
        yield embedder
        await embedder.close()


async def test_vectors_come_in_order_as_unit_vectors_in_bounded_requests(
    server: Server, embedder: OllamaEmbedder
) -> None:
    texts = [f"text {number}" for number in range(20)]
    vectors = await embedder.embed(texts)
    assert [vector[0] for vector in vectors] == [1.0] * 20
    assert [text for request in server.requests for text in request["input"]] == texts
    assert {request["model"] for request in server.requests} == {"all-minilm"}
    assert max(len(request["input"]) for request in server.requests) == 16


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 404, "text": '{"error":"model not found"}'},
        {"status": 503, "text": "busy"},
        {"text": "not json"},
        {"text": "{}"},
        {"text": '{"embeddings": []}'},
        {"text": '{"embeddings": [[]]}'},
        {"text": '{"embeddings": [' + str([0.0] * DIMENSION) + "]}"},
        {"text": '{"embeddings": [["a"]]}'},
        {"text": '{"embeddings": 3}'},
    ],
)
async def test_any_other_answer_is_a_failure_and_never_a_vector(
    server: Server, embedder: OllamaEmbedder, answer: dict[str, Any]
) -> None:
    server.answer = web.Response(**answer)
    with pytest.raises(EmbeddingFailed):
        await embedder.embed(["text"])


async def test_a_server_that_is_away_is_a_failure(free_port: int) -> None:
    embedder = OllamaEmbedder(aiohttp.ClientSession(), f"http://127.0.0.1:{free_port}", "all-minilm")
    with pytest.raises(EmbeddingFailed, match="away"):
        await embedder.embed(["text"])
    await embedder.close()
