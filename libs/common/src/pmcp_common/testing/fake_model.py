"""The scripted fake model server: Ollama's native API and the OpenAI-compatible one over plain HTTP/1.1.

`python -m pmcp_common.testing.fake_model --port 11434 --ttft-ms 50 --gap-ms 20 --tokens 40`, or in a test
`async with FakeModelServer(Script.of(...)) as server: ... server.url`. It answers with the last new `[[marker]]`
of the last user message and numbered tokens, misbehaves as told, and records what it saw and how long it took.
Above it: tests and the bench. Below it: `fake_model_stream` (writing), `fake_model_wire` (formats), the script,
the record.
Rule: it listens on loopback unless told otherwise, and nothing of it is imported by a service.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, cast

import httptools
import orjson
import uvloop

from pmcp_common.testing.fake_model_record import RecordedRequest, Recorder
from pmcp_common.testing.fake_model_script import STATUS_OF_KIND, Behaviour, Kind, Script
from pmcp_common.testing.fake_model_stream import Generation, TokenWheel, reset_connection, whole_head
from pmcp_common.testing.fake_model_wire import (
    ERROR_TEXTS,
    BadRequest,
    compose_answer,
    dialect_for,
    embed_texts,
    embedding_of,
    error_body,
    missing_model_text,
    model_card,
    parse_body,
    parse_call,
    show_body,
)

VERSION = "0.12.6"
GENERATION_PATHS = frozenset({"/api/chat", "/v1/chat/completions"})
MAX_BODY_BYTES = 64 * 1024 * 1024


class UnknownModel(LookupError):
    """A model the script does not list."""


class Connection(asyncio.Protocol):
    """One client socket: parses requests, writes answers, owns at most one live generation."""

    transport: asyncio.Transport

    def __init__(self, server: "FakeModelServer") -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._generation: Generation | None = None
        self._path = ""
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._generation is not None:
            self._generation.closed()
            self._generation = None
        self._server.lost(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def on_message_begin(self) -> None:
        self._body = bytearray()

    def on_url(self, url: bytes) -> None:
        self._path = url.decode("latin-1").partition("?")[0]

    def on_body(self, body: bytes) -> None:
        if len(self._body) + len(body) > MAX_BODY_BYTES:
            self.transport.abort()
            return
        self._body += body

    def on_message_complete(self) -> None:
        if self._generation is not None:  # pipelined behind a live generation: no client of ours does that
            self.transport.abort()
            return
        self._server.answer(self, self._parser.get_method().decode(), self._path, bytes(self._body))

    def respond(self, status: int, body: bytes) -> None:
        self.transport.write(whole_head(status, len(body)) + body)
        self.released(close=False)

    def hold(self, generation: Generation) -> None:
        self._generation = generation

    def released(self, *, close: bool) -> None:
        self._generation = None
        if close or not self._parser.should_keep_alive():
            self.transport.close()


Route = Callable[["FakeModelServer", bytes], Any]


class FakeModelServer:
    """The server as a context manager. `script` may change at any time; `seen` is what happened so far."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.script = script or Script()
        self.seen = Recorder(self.script.record_limit)
        self.host, self.port = host, port
        self._clock = clock
        self._wheel = TokenWheel(clock, wall_clock)
        self._connections: set[Connection] = set()
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def __aenter__(self) -> "FakeModelServer":
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Connection(self), self.host, self.port, backlog=4_096)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._wheel.stop()
        assert self._listener is not None
        self._listener.close()
        for connection in list(self._connections):
            connection.transport.abort()
        await self._listener.wait_closed()
        await self.wait_until(lambda seen: seen.open_connections == 0)

    async def wait_until(self, condition: Callable[[Recorder], bool], timeout_seconds: float = 5.0) -> None:
        """Returns once `condition(seen)` holds. Raises `TimeoutError`."""
        await self.seen.wait_until(condition, timeout_seconds)

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        self.seen.open_connections += 1
        self.seen.wake()

    def lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self.seen.open_connections -= 1
        self.seen.wake()

    def answer(self, connection: Connection, method: str, path: str, body: bytes) -> None:
        """The one place where a request's failure becomes a status."""
        arrived_at = self._clock()
        if not path.startswith("/fake/"):
            self.seen.paths[path] += 1
        try:
            if path in GENERATION_PATHS and method == "POST":
                self._generate(connection, path, body, arrived_at)
            else:
                self._serve(connection, method, path, body)
        except BadRequest as error:
            connection.respond(400, error_body(path, 400, str(error)))
        except UnknownModel as error:
            connection.respond(404, error_body(path, 404, missing_model_text(str(error))))

    def _serve(self, connection: Connection, method: str, path: str, body: bytes) -> None:
        route = ROUTES.get((method, path))
        if route is None:
            connection.respond(404, b'{"error":"404 page not found"}')
            return
        behaviour = self.script.by_path.get(path)
        if behaviour is None or not self._refuse(connection, path, behaviour, ""):
            connection.respond(200, orjson.dumps(route(self, body)))
        self.seen.wake()

    def _refuse(self, connection: Connection, path: str, behaviour: Behaviour, model: str) -> bool:
        """Faults that need no generation: True when the request is dealt with (or hangs)."""
        status = STATUS_OF_KIND.get(behaviour.kind)
        if status is not None:
            text = behaviour.message or ERROR_TEXTS.get(status) or missing_model_text(model)
            connection.respond(status, error_body(path, status, text))
            return True
        if behaviour.kind is Kind.RESET:
            reset_connection(connection.transport)
        return behaviour.kind in (Kind.RESET, Kind.HANG_BEFORE_HEADERS)

    def _generate(self, connection: Connection, path: str, body: bytes, arrived_at: float) -> None:
        call = parse_call(path, body)
        behaviour, script = self.script.take(), self.script
        if not script.knows(call.model):
            raise UnknownModel(call.model)
        marker = call.marker(self.seen.answered)
        answer, dialect = compose_answer(call, behaviour, script, marker), dialect_for(path, call)
        record = RecordedRequest(0, path, call.model, call.messages, call.body, behaviour.kind, arrived_at, marker)
        self.seen.begin(record)
        generation = Generation(connection, self._wheel, self.seen, record, dialect, answer, behaviour)
        connection.hold(generation)
        if behaviour.kind is Kind.HANG_BEFORE_HEADERS:
            return
        if behaviour.kind in STATUS_OF_KIND:
            self.seen.end(record, "fault", self._clock())
            self._refuse(connection, path, behaviour, call.model)
            return
        ttft = (script.ttft_ms if behaviour.ttft_ms is None else behaviour.ttft_ms) / 1_000
        gap = (script.gap_ms if behaviour.gap_ms is None else behaviour.gap_ms) / 1_000
        (generation.start if call.stream else generation.start_whole)(ttft, gap)

    def listed_models(self) -> list[dict[str, Any]]:
        return [model_card(name) for name in self.script.models]

    def checked_model(self, body: bytes) -> dict[str, Any]:
        """The body of a request that names a model. Raises `BadRequest` or `UnknownModel`."""
        document = parse_body(body)
        model = str(document.get("model") or document.get("name") or "")
        if not model:
            raise BadRequest("model is required")
        if not self.script.knows(model):
            raise UnknownModel(model)
        return document


def tags(server: FakeModelServer, _: bytes) -> Any:
    return {"models": server.listed_models()}


def running(server: FakeModelServer, _: bytes) -> Any:
    loaded = {"expires_at": "2030-01-01T00:00:00Z", "size_vram": 4_920_753_328, "context_length": 8_192}
    return {"models": [card | loaded for card in server.listed_models()]}


def version(_: FakeModelServer, __: bytes) -> Any:
    return {"version": VERSION}


def show(server: FakeModelServer, body: bytes) -> Any:
    server.checked_model(body)
    return show_body(server.script.embedding_dimension)


def embed(server: FakeModelServer, body: bytes) -> Any:
    document = server.checked_model(body)
    texts = embed_texts(document)
    vectors = [embedding_of(text, server.script.embedding_dimension) for text in texts]
    counts = {"total_duration": 14_143_917, "load_duration": 1_019_500}
    words = sum(len(text.split()) for text in texts)
    return {"model": document["model"], "embeddings": vectors, **counts, "prompt_eval_count": words}


def openai_models(server: FakeModelServer, _: bytes) -> Any:
    entries = [
        {"id": card["name"], "object": "model", "created": 1_767_600_000, "owned_by": "library"}
        for card in server.listed_models()
    ]
    return {"object": "list", "data": entries}


def change_script(server: FakeModelServer, body: bytes) -> Any:
    document = parse_body(body)
    if document.pop("reset", False):
        server.seen.reset()
    try:
        server.script.update(document)
    except (ValueError, TypeError, AttributeError) as error:
        raise BadRequest(str(error)) from error
    return {"ok": True}


ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/api/tags"): tags,
    ("GET", "/api/ps"): running,
    ("GET", "/api/version"): version,
    ("POST", "/api/show"): show,
    ("POST", "/api/embed"): embed,
    ("GET", "/v1/models"): openai_models,
    ("GET", "/fake/stats"): lambda server, _: server.seen.stats(),
    ("GET", "/fake/requests"): lambda server, _: {"requests": server.seen.requests_json()},
    ("POST", "/fake/timings"): lambda server, _: {"timings": [asdict(t) for t in server.seen.drain_timings()]},
    ("POST", "/fake/script"): change_script,
}


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    defaults = Script()
    parser = argparse.ArgumentParser(description="a scripted fake model server (Ollama and OpenAI APIs)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=11_434)
    parser.add_argument("--ttft-ms", type=float, default=defaults.ttft_ms, help="request to first token")
    parser.add_argument("--gap-ms", type=float, default=defaults.gap_ms, help="between tokens")
    parser.add_argument("--tokens", type=int, default=defaults.tokens, help="tokens of a reply")
    parser.add_argument("--model", action="append", default=[], help="a model that exists; repeatable; none: all")
    return parser.parse_args(arguments)


async def serve(options: argparse.Namespace) -> None:
    script = Script(options.ttft_ms, options.gap_ms, options.tokens, models=tuple(options.model))
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with FakeModelServer(script, host=options.host, port=options.port) as server:
        sys.stderr.write(orjson.dumps({"event": "fake model listens", "url": server.url}).decode() + "\n")
        await stopped.wait()


def main() -> None:
    uvloop.run(serve(parse_arguments(sys.argv[1:])))


if __name__ == "__main__":
    main()
