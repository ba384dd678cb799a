"""How the tests of the fake model server ask it, in both dialects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from pmcp_common.testing.fake_model_script import DEFAULT_CHAT_MODEL

BOUND_SECONDS = 5.0


@asynccontextmanager
async def model_client() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=BOUND_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, read_bufsize=16 * 1024 * 1024) as session:
        yield session


def ask(text: str = "hello [[m-1]]", **more: Any) -> dict[str, Any]:
    return {"model": DEFAULT_CHAT_MODEL, "messages": [{"role": "user", "content": text}], **more}


async def ollama_lines(client: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> list[bytes]:
    async with client.post(f"{url}/api/chat", json=body) as response:
        assert response.status == 200
        assert response.content_type == "application/x-ndjson"
        return (await response.read()).splitlines()


async def openai_events(client: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> list[bytes]:
    async with client.post(f"{url}/v1/chat/completions", json=body | {"stream": True}) as response:
        assert response.content_type == "text/event-stream"
        return [event.removeprefix(b"data: ") for event in (await response.read()).split(b"\n\n") if event]


def said(lines: list[bytes]) -> str:
    return "".join(orjson.loads(line)["message"]["content"] for line in lines)
