"""A probe says why a server is not ready."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pmcp_local.part import NotReady
from pmcp_local.ports import find_free
from pmcp_local.probes import check_http


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('{"status": "unavailable", "reasons": {"redis": "ConnectionError"}}', "redis: ConnectionError"),
        ('{"error": {"message": "Loading model"}}', "status 503"),
        ("loading", "status 503"),
        ("[]", "status 503"),
    ],
)
async def test_a_server_that_is_not_ready_is_asked_why(body: str, why: str) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=body, status=503)

    app = web.Application()
    app.router.add_get("/readyz", answer)
    async with TestServer(app) as server:
        with pytest.raises(NotReady, match=why):
            await check_http(str(server.make_url("/readyz")))


async def test_a_ready_server_is_ready() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="{}")

    app = web.Application()
    app.router.add_get("/readyz", answer)
    async with TestServer(app) as server:
        await check_http(str(server.make_url("/readyz")))


async def test_nobody_there_is_not_ready() -> None:
    with pytest.raises(NotReady, match="nobody answers"):
        await check_http(f"http://127.0.0.1:{find_free(1)[0]}/readyz")
