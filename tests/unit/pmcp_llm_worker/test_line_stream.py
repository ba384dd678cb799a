"""Small requests to a model server: the whole document counts, however it comes in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import orjson
import pytest
from aiohttp import web

from pmcp_llm_worker.line_stream import fetch_document, open_session


@asynccontextmanager
async def server_of(pieces: list[bytes]) -> AsyncIterator[str]:
    """Answers every request with these pieces, each in a chunk and a write of its own."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        await response.write_eof()
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(connections=2) as opened:
        yield opened


@pytest.mark.parametrize("models", [2, 5000])
async def test_a_document_in_several_writes_is_read_to_its_end(session: aiohttp.ClientSession, models: int) -> None:
    document = {"data": [{"id": f"model-{number}"} for number in range(models)]}
    text = orjson.dumps(document)
    async with server_of([text[:20], text[20:]]) as url:
        assert await fetch_document(session, "GET", f"{url}/v1/models", {}) == (200, document)


async def test_a_body_that_is_no_json_is_none(session: aiohttp.ClientSession) -> None:
    async with server_of([b"<html>"]) as url:
        assert await fetch_document(session, "GET", url, {}) == (200, None)
