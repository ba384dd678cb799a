"""The real gateway on a port of its own and a real Valkey; persona and memory services and the worker are scripted.

A test plays the worker itself: it takes the next job, says what the reply is to be, and ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
import uvicorn
from aiohttp import web
from pydantic import SecretStr
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from pmcp_common.bus_redis import RedisStreamBus
from pmcp_common.contracts import keys
from pmcp_common.contracts.jobs import AppendResult, Claim, Delta, End
from pmcp_common.queue_arq import ArqJobQueue, job_of
from pmcp_common.redis_link import connect as connect_redis
from pmcp_gateway.app import build_app
from pmcp_gateway.server import server_options
from pmcp_gateway.settings import GatewaySettings

WAIT_SECONDS = 5.0
NOW = "2026-03-01T12:00:00Z"


def persona_view(persona_id: str, name: str, *, available: bool) -> dict[str, Any]:
    return {
        "persona": {
            "id": persona_id,
            "version": 1,
            "name": name,
            "description": f"{name} of the tests",
            "personality_traits": {"friendliness": 8},
            "topic_preferences": {"music": 90},
            "created_at": NOW,
        },
        "interaction_state": {
            "is_available": available,
            "last_updated": NOW,
            "cooldown_remaining": 0 if available else 42,
        },
    }


PERSONAS = {
    "aria": persona_view("id-aria", "Aria", available=True),
    "id-aria": persona_view("id-aria", "Aria", available=True),
    "kira": persona_view("id-kira", "Kira", available=False),
}


class Peers:
    """Both services in one HTTP server. `away` makes each answer 503; `asked` is what came in."""

    def __init__(self) -> None:
        self.url = ""
        self.away = False
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.recorded: list[str] = []
        """Job ids in the record of accepted jobs."""
        self.may_record = asyncio.Event()
        self.may_record.set()

    def app(self) -> web.Application:
        @web.middleware
        async def note(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            self.asked.append((request.path, dict(request.query)))
            if self.away:
                return _problem(503, -32007, "The database is away")
            return await handler(request)

        app = web.Application(middlewares=[note])
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/v1/local/personas", self._list)
        app.router.add_get("/v1/local/personas/{reference}", self._get)
        app.router.add_post("/v1/local/memories/search", self._search)
        app.router.add_get("/v1/local/memories/stats", self._stats)
        app.router.add_post("/v1/accepted-jobs/record", self._record)
        return app

    async def _ready(self, _request: web.Request) -> web.Response:
        return web.json_response({})

    async def _list(self, _request: web.Request) -> web.Response:
        return web.json_response({"personas": [PERSONAS["aria"], PERSONAS["kira"]]})

    async def _get(self, request: web.Request) -> web.Response:
        reference = request.match_info["reference"]
        view = PERSONAS.get(reference.lower())
        return web.json_response(view) if view else _problem(404, -32000, f"Persona not found: {reference}")

    async def _search(self, _request: web.Request) -> web.Response:
        memory = {
            "id": "m1",
            "content": "The player likes lutes.",
            "memory_type": "conversation",
            "importance": 0.6,
            "emotional_valence": 0.1,
            "related_personas": [],
            "visibility": "private",
            "created_at": NOW,
            "accessed_count": 2,
            "similarity": 0.8,
        }
        return web.json_response({"memories": [memory]})

    async def _record(self, request: web.Request) -> web.Response:
        jobs = (await request.json())["jobs"]
        await self.may_record.wait()
        self.recorded += [job["job_id"] for job in jobs]
        return web.json_response({"rows": len(jobs)})

    async def _stats(self, _request: web.Request) -> web.Response:
        return web.json_response({"total_memories": 0})


def _problem(status: int, code: int, detail: str) -> web.Response:
    body = orjson.dumps({"code": code, "detail": detail, "data": {}})
    return web.Response(status=status, body=body, content_type="application/problem+json")


class Reply:
    """One claimed job, written by the test."""

    def __init__(self, bus: RedisStreamBus, queue: ArqJobQueue, claim: Claim) -> None:
        self._bus, self._queue, self.claim = bus, queue, claim
        self._pieces: list[str] = []

    @property
    def length(self) -> int:
        """Position of the newest piece."""
        return len(self._pieces)

    async def say(self, *pieces: str) -> None:
        for text in pieces:
            self._pieces.append(text)
            delta = Delta(self.claim.submission.job_id, len(self._pieces), self.claim.attempt, text)
            await self._bus.append([(self.claim, delta)])

    async def say_in_vain(self, text: str) -> None:
        """Of a claim that was lost."""
        for seq in range(1, len(self._pieces) + 2):
            delta = Delta(self.claim.submission.job_id, seq, self.claim.attempt, text)
            assert (await self._bus.append([(self.claim, delta)]))[0] is not AppendResult.OK

    async def end(self, state: str = "done", error: tuple[int, str] | None = None) -> End:
        text, submission = "".join(self._pieces), self.claim.submission
        end = End(
            stream_id=submission.job_id,
            seq=len(self._pieces) + 1,
            attempt=self.claim.attempt,
            state=state,
            finish_reason="stop" if state == "done" else state,
            text=text,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            message_id=submission.message_id,
            user_message_id=submission.user_message_id,
            persona_id=self.claim.persona_id,
            persona_name=submission.persona_name or "",
            chunk_count=len(self._pieces),
            tokens_used=7,
            response_type="direct" if text else "none",
            processing_time=0.25,
            model="scripted",
            provider="test",
            error_code=error[0] if error else None,
            error_message=error[1] if error else None,
        )
        assert await self._queue.finish(self.claim, end, remember=False)
        return end


class Worker:
    def __init__(self, redis: Redis, url: str) -> None:
        self._redis = redis
        self._bus = RedisStreamBus(redis, url)
        self._queue = ArqJobQueue(redis, self._bus)

    async def take(self) -> Reply:
        """Claim the next job, waiting for it."""
        async with asyncio.timeout(WAIT_SECONDS):
            _, ticket = await self._redis.blpop([keys.wake(keys.REPLY_QUEUE)], timeout=4)  # type: ignore[misc]
        claim = await self._queue.claim(*job_of(ticket.decode()), ticket.decode())
        assert isinstance(claim, Claim)
        return Reply(self._bus, self._queue, claim)


class Player:
    """A raw socket that speaks JSON-RPC, strictly by hand."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, frame: Any) -> None:
        text = frame if isinstance(frame, str) else orjson.dumps(frame).decode()
        await self.socket.send(text)

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_SECONDS):
            frame = orjson.loads(await self.socket.recv())
        assert isinstance(frame, dict)
        return frame

    async def ask(self, method: str, params: Any = None, number: Any = "q") -> dict[str, Any]:
        """The next frame that comes, which must answer this request."""
        await self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        frame = await self.receive()
        assert frame["id"] == number
        return frame

    async def result(self, method: str, params: Any = None) -> dict[str, Any]:
        frame = await self.ask(method, params)
        assert "error" not in frame, frame
        result = frame["result"]
        assert isinstance(result, dict)
        return result

    async def close_code(self) -> int | None:
        """Of the close frame that comes next, whatever was still on its way before it."""
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    await self.socket.recv()
        return self.socket.close_code


@dataclass
class Gateway:
    address: str
    server: uvicorn.Server

    @property
    def url(self) -> str:
        return f"ws://{self.address}/mcp"

    @asynccontextmanager
    async def player(self, **options: Any) -> AsyncIterator[Player]:
        async with connect(self.url, compression=None, proxy=None, close_timeout=1, **options) as socket:
            yield Player(socket)


@pytest.fixture
async def peers() -> AsyncIterator[Peers]:
    peers = Peers()
    runner = web.AppRunner(peers.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    peers.url = f"http://{host}:{port}"
    yield peers
    await runner.cleanup()


StartGateway = Callable[..., Awaitable[Gateway]]


@pytest.fixture
async def start_gateway(valkey_url: str, peers: Peers) -> AsyncIterator[StartGateway]:
    """Starts as many gateways as a test wants; settings by their field names."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> Gateway:
            return await stack.enter_async_context(
                _serving(
                    GatewaySettings(
                        **{
                            "redis_url": SecretStr(valkey_url),
                            "persona_url": peers.url,
                            "memory_url": peers.url,
                            "gateway_port": 0,
                            **settings,
                        }
                    )
                )
            )

        yield start


@asynccontextmanager
async def _serving(settings: GatewaySettings) -> AsyncIterator[Gateway]:
    options = server_options()
    options["timeout_graceful_shutdown"] = options.pop("graceful_timeout_seconds")
    config = uvicorn.Config(build_app(settings), host="127.0.0.1", port=0, log_config=None, access_log=False, **options)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not server.started:
                assert not task.done(), task.result()
                await asyncio.sleep(0.005)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        yield Gateway(f"{host}:{port}", server)
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 8)


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> Gateway:
    return await start_gateway()


@pytest.fixture
async def player(gateway: Gateway) -> AsyncIterator[Player]:
    async with gateway.player() as player:
        yield player


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    client = connect_redis(valkey_url)
    yield client
    await client.aclose()


@pytest.fixture
def worker(redis: Redis, valkey_url: str) -> Worker:
    return Worker(redis, valkey_url)


@pytest.fixture
async def gateways(start_gateway: StartGateway) -> tuple[Gateway, Gateway]:
    return await start_gateway(), await start_gateway()
