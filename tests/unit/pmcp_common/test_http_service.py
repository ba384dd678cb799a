"""The plumbing every HTTP process shares, driven through ASGI without a socket."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from pmcp_common.contracts.errors import PersonaNotFound
from pmcp_common.http_service import ReadinessCheck, create_app
from pmcp_common.logs import request_id


class Body(BaseModel):
    number: int


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture
def readiness() -> dict[str, ReadinessCheck]:
    return {}


@pytest.fixture
async def http(readiness: dict[str, ReadinessCheck]) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app("test", lifespan=lifespan, readiness=readiness, max_body_bytes=1000)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("password=hunter2")

    @app.get("/unknown")
    async def unknown() -> None:
        raise PersonaNotFound("nobody")

    @app.get("/request-id")
    async def show_request_id() -> str | None:
        return request_id.get()

    @app.post("/items/{item}")
    async def take(item: str, body: Body) -> int:
        return body.number

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_a_process_is_healthy_while_its_dependency_is_away(
    http: httpx.AsyncClient, readiness: dict[str, ReadinessCheck]
) -> None:
    async def away() -> None:
        raise ConnectionError("postgresql://user:secret@host")

    readiness["postgres"] = away
    assert (await http.get("/healthz")).status_code == 200
    ready = await http.get("/readyz")
    assert ready.status_code == 503
    assert ready.json() == {"status": "unavailable", "reasons": {"postgres": "ConnectionError"}}


async def test_a_process_is_ready_when_every_check_returns(
    http: httpx.AsyncClient, readiness: dict[str, ReadinessCheck]
) -> None:
    async def fine() -> None:
        return None

    readiness.update(a=fine, b=fine)
    assert (await http.get("/readyz")).json() == {"status": "ok"}


async def test_a_domain_error_becomes_its_problem_document(http: httpx.AsyncClient) -> None:
    answer = await http.get("/unknown")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == -32000


async def test_an_unexpected_failure_is_logged_once_and_says_nothing_foreign(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await http.get("/broken")
    assert answer.status_code == 500
    assert answer.json()["code"] == -32603
    assert "hunter2" not in answer.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("POST", "/items/a", b'{"number": "whispered"}', 422),
        ("POST", "/items/a", b"{", 422),
        ("POST", "/items/a", b"[" * 900, 422),
        ("POST", "/items/a", b'{"number": 1, "pad": "' + b"x" * 1000 + b'"}', 413),
        ("GET", "/nowhere", None, 404),
        ("DELETE", "/broken", None, 405),
    ],
)
async def test_what_http_refuses_is_a_problem_document_too(
    http: httpx.AsyncClient, method: str, path: str, content: bytes | None, status: int
) -> None:
    answer = await http.request(method, path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == (-32011 if status == 404 else -32602)
    assert "whispered" not in answer.text


async def test_a_body_without_a_declared_length_is_bounded_as_well(http: httpx.AsyncClient) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 100

    assert (await http.post("/items/a", content=trickle())).status_code == 413


@pytest.mark.parametrize(("given", "kept"), [("abc-1", True), ("x" * 129, False), ("a\tb", False), ("", False)])
async def test_a_request_id_is_taken_over_when_it_is_short_and_printable(
    http: httpx.AsyncClient, given: str, kept: bool
) -> None:
    answer = await http.get("/request-id", headers={"x-request-id": given})
    assert (answer.json() == given) is kept
    assert answer.json()


async def test_metrics_name_the_route_and_never_the_path(http: httpx.AsyncClient) -> None:
    await http.post("/items/player-17", json={"number": 1})
    await http.get("/private-path")
    text = (await http.get("/metrics")).text
    assert 'route="/items/{item}"' in text
    assert "player-17" not in text
    assert "private-path" not in text
