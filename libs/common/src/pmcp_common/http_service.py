"""What every HTTP process has: probes, metrics, request id, body limit, coded errors, one way to run.

Knows no route of its own beyond `/healthz`, `/readyz` and `/metrics`. This is a named boundary: whatever
escapes a route is logged once here and becomes a problem document. A WebSocket passes through untouched
but for its request id.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import prometheus_client
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pmcp_common import problems
from pmcp_common.contracts.errors import DomainError, InternalError
from pmcp_common.logs import request_id

log = logging.getLogger(__name__)

REQUEST_ID_HEADER = "x-request-id"
_MAX_REQUEST_ID_CHARS = 128
READINESS_TIMEOUT_SECONDS = 2.0

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
ReadinessCheck = Callable[[], Awaitable[None]]
"""Returns when the dependency works, raises otherwise."""

REQUEST_SECONDS = prometheus_client.Histogram(
    "pmcp_http_request_seconds",
    "Time to serve an HTTP request, by route template.",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


def create_app(
    title: str,
    *,
    lifespan: Lifespan,
    readiness: Mapping[str, ReadinessCheck],
    max_body_bytes: int = 1024 * 1024,
) -> FastAPI:
    """An app with everything but its routes. `readiness` is read at each probe: the lifespan may fill it."""
    app = FastAPI(title=title, lifespan=_with_routes_built(lifespan), responses=problems.RESPONSES)
    app.add_middleware(RequestBoundary, max_body_bytes=max_body_bytes)
    app.add_exception_handler(DomainError, _answer_domain_error)
    app.add_exception_handler(RequestValidationError, _answer_faults)
    app.add_exception_handler(HTTPException, _answer_status)
    _add_probes(app, readiness)
    return app


def _with_routes_built(lifespan: Lifespan) -> Lifespan:
    """FastAPI prepares included routes when a first request looks through them: some 0.3 s nobody should wait for."""

    @asynccontextmanager
    async def building(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan(app):
            for route in app.router.routes:
                route.matches({"type": "http", "method": "GET", "path": "/", "root_path": "", "headers": []})
            yield

    return building


def run(app: FastAPI, *, host: str, port: int, graceful_timeout_seconds: int = 4, **uvicorn_options: Any) -> None:
    """Serve until SIGTERM or SIGINT. Logging must be configured before: uvicorn's own set-up is off."""
    # uvicorn raises the signal once more when all is closed: that is then a clean end, not a death by signal.
    signal.signal(signal.SIGTERM, _leave)
    options: dict[str, Any] = {
        "loop": "uvloop",
        "http": "httptools",
        "log_config": None,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "date_header": False,
        "timeout_graceful_shutdown": graceful_timeout_seconds,
        "backlog": 2048,
        # Peers keep connections open between replies; a close from this side would race with a send.
        "timeout_keep_alive": 75,
    }
    uvicorn.run(app, host=host, port=port, **{**options, **uvicorn_options})


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def _add_probes(app: FastAPI, readiness: Mapping[str, ReadinessCheck]) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz(response: Response) -> dict[str, Any]:
        results = await asyncio.gather(*(_probe(name, check) for name, check in readiness.items()))
        reasons = {name: reason for name, reason in results if reason is not None}
        if reasons:
            response.status_code = 503
            return {"status": "unavailable", "reasons": reasons}
        return {"status": "ok"}

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(prometheus_client.generate_latest(), media_type=prometheus_client.CONTENT_TYPE_LATEST)


async def _probe(name: str, check: ReadinessCheck) -> tuple[str, str | None]:
    """The kind of the failure only: its text may hold an address or a credential."""
    try:
        async with asyncio.timeout(READINESS_TIMEOUT_SECONDS):
            await check()
    except Exception as error:  # boundary: a probe reports any failure
        log.debug("not ready", extra={"dependency": name}, exc_info=True)
        return name, type(error).__name__
    return name, None


async def _answer_domain_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, DomainError)
    status, body = problems.from_error(error)
    if status >= 500:
        log.warning("request failed", extra={"code": error.code, "detail": error.message})
    return Response(body, status, media_type=problems.MEDIA_TYPE)


async def _answer_faults(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    status, body = problems.from_faults(error.errors())
    return Response(body, status, media_type=problems.MEDIA_TYPE)


async def _answer_status(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status, body = problems.from_status(error.status_code, str(error.detail))
    return Response(body, status, media_type=problems.MEDIA_TYPE, headers=error.headers)


class _BodyTooLarge(HTTPException):
    def __init__(self) -> None:
        super().__init__(413, "Request body too large")


class RequestBoundary:
    """Sets the request id, bounds the body, measures, and turns what escaped into one coded answer."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        token = request_id.set(_request_id_of(scope))
        try:
            if scope["type"] == "http":
                await self._serve(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        finally:
            request_id.reset(token)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        status = 0

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, self._bounded(scope, receive), note_status)
        except _BodyTooLarge as error:
            await self._answer(problems.from_status(413, str(error.detail)), note_status)
        except Exception:  # boundary: one log line, one coded answer
            log.exception("unexpected failure", extra={"path": _route_of(scope)})
            if status:
                raise  # half an answer is out: only cutting the connection tells the caller
            await self._answer(problems.from_error(InternalError("Internal error")), note_status)
        finally:
            elapsed = time.perf_counter() - started
            REQUEST_SECONDS.labels(scope["method"], _route_of(scope), str(status)).observe(elapsed)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        limit = self._max_body_bytes
        received = 0
        declared = _header(scope, b"content-length")

        async def receive_bounded() -> Message:
            nonlocal received
            if declared.isdigit() and int(declared) > limit:
                raise _BodyTooLarge
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    raise _BodyTooLarge
            return message

        return receive_bounded

    @staticmethod
    async def _answer(problem: tuple[int, bytes], send: Send) -> None:
        status, body = problem
        headers = [
            (b"content-type", problems.MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


def _request_id_of(scope: Scope) -> str:
    """The caller's id when it is short printable ASCII, so that it cannot forge log lines; else a new one."""
    given = _header(scope, REQUEST_ID_HEADER.encode())
    if 0 < len(given) <= _MAX_REQUEST_ID_CHARS and given.isascii() and given.isprintable():
        return given
    return uuid.uuid4().hex


def _route_of(scope: Scope) -> str:
    """The template, never the path: ids in labels would grow without bound."""
    route = scope.get("route")
    return str(getattr(route, "path", "unmatched"))
