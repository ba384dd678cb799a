"""The configured model wins over Ollama's, and that over the embedded one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pmcp_common.ollama_host import normalise_ollama_host
from pmcp_local.model import MODEL_NAME
from pmcp_local.model_choice import choose_model, order_candidates
from pmcp_local.part import StackError
from pmcp_local.ports import find_free
from pmcp_local.settings import read_settings

StartOllama = Callable[..., Awaitable[str]]
CHAT = {"name": "llama3.1:8b", "details": {"family": "llama"}}
SMALL_CHAT = {"name": "qwen3:latest", "details": {"family": "qwen3"}}
EMBEDDING = {"name": "nomic-embed-text:latest", "details": {"family": "nomic-bert"}}


@pytest.fixture
async def ollama() -> AsyncIterator[StartOllama]:
    servers: list[TestServer] = []

    async def start(models: object, abilities: dict[str, list[str]] | None = None, status: int = 200) -> str:
        async def tags(_request: web.Request) -> web.Response:
            return web.json_response(models, status=status)

        async def show(request: web.Request) -> web.Response:
            name = (await request.json())["model"]
            known = (abilities or {}).get(name)
            return web.json_response({"details": {}} if known is None else {"capabilities": known})

        app = web.Application()
        app.router.add_get("/api/tags", tags)
        app.router.add_post("/api/show", show)
        servers.append(TestServer(app))
        await servers[-1].start_server()
        return str(servers[-1].make_url("")).rstrip("/")

    yield start
    for server in servers:
        await server.close()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434"),
        ("http://127.0.0.1:11434/", "http://127.0.0.1:11434"),
        ("gpu-box:9000", "http://gpu-box:9000"),
        ("gpu-box", "http://gpu-box:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:11500", "http://127.0.0.1:11500"),
        (":11500", "http://127.0.0.1:11500"),
        ("", "http://127.0.0.1:11434"),
        ("https://models.example", "https://models.example:443"),
        ("http://models.example/ollama", "http://models.example:11434/ollama"),
        ("[::1]:11434", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
    ],
)
def test_ollama_host_may_lack_scheme_and_port(host: str, url: str) -> None:
    assert normalise_ollama_host(host) == url


def _settings(**flags: Any) -> Any:
    # Nobody answers at this port unless a test says otherwise.
    return read_settings({"ollama_host": f"127.0.0.1:{find_free(1)[0]}", **flags})


async def test_ollama_s_first_chat_model_is_used_when_it_answers(ollama: StartOllama) -> None:
    url = await ollama({"models": [EMBEDDING, SMALL_CHAT, CHAT]})
    choice = await choose_model(_settings(ollama_host=url))
    assert (choice.api, choice.url, choice.name, choice.embedded) == ("ollama", url, "qwen3:latest", False)
    assert "qwen3:latest" in choice.sentence()


@pytest.mark.parametrize("field", ["model_name", "default_model"])
async def test_the_wanted_model_is_preferred(ollama: StartOllama, field: str) -> None:
    url = await ollama({"models": [SMALL_CHAT, CHAT]})
    assert (await choose_model(_settings(ollama_host=url, **{field: "llama3.1:8b"}))).name == "llama3.1:8b"


def test_a_name_without_tag_means_latest() -> None:
    assert [entry["name"] for entry in order_candidates([CHAT, SMALL_CHAT], "qwen3")] == [
        "qwen3:latest",
        "llama3.1:8b",
    ]


async def test_a_model_that_cannot_complete_is_skipped(ollama: StartOllama) -> None:
    abilities = {"qwen3:latest": ["embedding"], "llama3.1:8b": ["completion", "tools"]}
    url = await ollama({"models": [SMALL_CHAT, CHAT]}, abilities)
    assert (await choose_model(_settings(ollama_host=url))).name == "llama3.1:8b"


@pytest.mark.parametrize("body", [{"models": []}, {"models": [EMBEDDING]}, ["what"], {"models": None}])
async def test_ollama_without_a_chat_model_means_the_embedded_one(ollama: StartOllama, body: object) -> None:
    choice = await choose_model(_settings(ollama_host=await ollama(body), model_port=8010))
    assert (choice.api, choice.url, choice.name, choice.embedded) == (
        "openai",
        "http://127.0.0.1:8010",
        MODEL_NAME,
        True,
    )


async def test_an_ollama_in_trouble_means_the_embedded_one(ollama: StartOllama) -> None:
    url = await ollama({"error": "no"}, status=500)
    assert (await choose_model(_settings(ollama_host=url))).embedded


async def test_nobody_there_means_the_embedded_one() -> None:
    choice = await choose_model(_settings())
    assert choice.embedded
    assert "no Ollama with a chat model answered" in choice.sentence()


async def test_a_configured_server_wins_over_ollama(ollama: StartOllama) -> None:
    ollama_url = await ollama({"models": [CHAT]})
    choice = await choose_model(
        _settings(ollama_host=ollama_url, model_api="openai", model_url="http://vllm:8000/", model_name="m")
    )
    assert (choice.api, choice.url, choice.name, choice.embedded) == ("openai", "http://vllm:8000", "m", False)


async def test_the_embedded_model_can_be_asked_for(ollama: StartOllama) -> None:
    assert (await choose_model(_settings(ollama_host=await ollama({"models": [CHAT]}), model_api="embedded"))).embedded


async def test_openai_without_an_address_is_one_sentence() -> None:
    with pytest.raises(StackError, match="PMCP_MODEL_URL must say where"):
        await choose_model(_settings(model_api="openai"))


async def test_ollama_asked_for_and_away_is_one_sentence() -> None:
    with pytest.raises(StackError, match=r"no Ollama with a chat model answers at http://127\.0\.0\.1:"):
        await choose_model(_settings(model_api="ollama"))
