"""A whole worker in this process: real Valkey and arq, the fake model server, services in memory over real HTTP."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import orjson
import pytest
from aiohttp import web
from redis.asyncio import Redis

from pmcp_common.bus_redis import RedisStreamBus
from pmcp_common.contracts import keys
from pmcp_common.contracts.accepted_jobs import AcceptedJob, AcceptedJobs, LostJobsQuery, OldJobs, SettledJobs
from pmcp_common.contracts.jobs import End
from pmcp_common.contracts.memories import CommitTurns, ContextRequest, RememberRequest
from pmcp_common.contracts.personas import Interaction
from pmcp_common.queue_arq import ArqJobQueue
from pmcp_common.redis_link import connect
from pmcp_common.testing.fake_model import FakeModelServer
from pmcp_common.testing.fake_model_script import Script
from pmcp_llm_worker.settings import WorkerSettings
from pmcp_llm_worker.worker import build_app
from tests.unit.pmcp_llm_worker.doubles import TENANT, Memory, Personas, submission

WAIT_SECONDS = 5.0


@dataclass
class Services:
    """The persona and memory services as the worker reaches them; `away` answers 503 to everything of memory."""

    url: str = ""
    personas: Personas = field(default_factory=Personas)
    memory: Memory = field(default_factory=Memory)
    record: JobRecords = field(default_factory=lambda: JobRecords())
    away: bool = False
    request_ids: set[str] = field(default_factory=set)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS), self.changed:
            await self.changed.wait_for(condition)


@dataclass
class JobRecords:
    """The record of accepted jobs as the memory service keeps it."""

    rows: dict[str, AcceptedJob] = field(default_factory=dict)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(f"/v1/accepted-jobs/{verb}", getattr(self, verb)) for verb in ("record", "settle", "lost", "purge")
        ]

    async def record(self, request: web.Request) -> web.Response:
        jobs = AcceptedJobs.model_validate_json(await request.read()).jobs
        self.rows.update({job.job_id: job for job in jobs})
        return _json({"rows": len(jobs)})

    async def settle(self, request: web.Request) -> web.Response:
        jobs = SettledJobs.model_validate_json(await request.read()).jobs
        return _json({"rows": sum(self.rows.pop(job.job_id, None) is not None for job in jobs)})

    async def purge(self, request: web.Request) -> web.Response:
        query = OldJobs.model_validate_json(await request.read())
        old = [job_id for job_id, job in self.rows.items() if job.accepted_at_ms < query.accepted_before_ms]
        for job_id in old:
            del self.rows[job_id]
        return _json({"rows": len(old)})

    async def lost(self, request: web.Request) -> web.Response:
        query = LostJobsQuery.model_validate_json(await request.read())
        jobs = [job.model_dump() for job in self.rows.values() if job.epoch != query.epoch]
        return _json({"jobs": jobs[: query.limit]})


def _json(document: object) -> web.Response:
    return web.Response(body=orjson.dumps(document), content_type="application/json")


def _application(services: Services) -> web.Application:
    async def turn_context(request: web.Request) -> web.Response:
        known = request.query.get("known_version")
        context = await services.personas.turn_context(TENANT, "p-aria", "player", int(known) if known else None)
        return _json(context.model_dump(mode="json"))

    async def interactions(request: web.Request) -> web.Response:
        interaction = Interaction.model_validate_json(await request.read())
        state = await services.personas.record_interaction(TENANT, "p-aria", interaction)
        return _json(state.model_dump(mode="json"))

    async def context(request: web.Request) -> web.Response:
        asked = ContextRequest.model_validate_json(await request.read())
        return _json((await services.memory.context(TENANT, asked)).model_dump(mode="json"))

    async def turns(request: web.Request) -> web.Response:
        stored = await services.memory.commit(TENANT, CommitTurns.model_validate_json(await request.read()))
        return _json({"stored": stored})

    async def remember(request: web.Request) -> web.Response:
        asked = RememberRequest.model_validate_json(await request.read())
        return _json({"stored": await services.memory.remember(TENANT, asked)})

    async def turn(request: web.Request) -> web.Response:
        row = await services.memory.turn(TENANT, request.match_info["id"])
        return web.Response(status=404) if row is None else _json(row.model_dump(mode="json"))

    async def ready(_request: web.Request) -> web.Response:
        return _json({"status": "ok"})

    @web.middleware
    async def watch(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        services.request_ids.add(request.headers.get("x-request-id", ""))
        if services.away and "/personas/" not in request.path:
            return web.Response(status=503)
        response = await handler(request)
        async with services.changed:
            services.changed.notify_all()
        return response

    app = web.Application(middlewares=[watch])
    app.add_routes(services.record.routes())
    app.add_routes(
        [
            web.get("/readyz", ready),
            web.get("/v1/local/personas/p-aria/turn-context", turn_context),
            web.post("/v1/local/personas/p-aria/interactions", interactions),
            web.post("/v1/local/context", context),
            web.post("/v1/local/turns", turns),
            web.post("/v1/local/remember", remember),
            web.get("/v1/local/turns/{id}", turn),
        ]
    )
    return app


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    services = Services()
    runner = web.AppRunner(_application(services), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    services.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield services
    await runner.cleanup()


@pytest.fixture
async def model_server() -> AsyncIterator[FakeModelServer]:
    async with FakeModelServer(Script.of(tokens=5)) as server:
        yield server


@dataclass
class Client:
    """What a gateway does for one message."""

    redis: Redis
    queue: ArqJobQueue
    bus: RedisStreamBus

    async def submit(self, **changes: object) -> str:
        job_id = str(uuid.uuid4())
        fresh = submission(job_id, player_id=job_id, message="Hello [[marker]]")
        await self.queue.submit(replace(fresh, **changes))  # type: ignore[arg-type]
        return job_id

    async def end(self, job_id: str) -> End:
        """Waits for the terminal event: by blocking reads, so that nothing is polled."""
        async with asyncio.timeout(WAIT_SECONDS * 2):
            position = "0"
            while True:
                found = await self.redis.xread({keys.tokens(TENANT, job_id): position}, block=200, count=1000)
                page = await self.bus.read(TENANT, "local", job_id, 0)
                if page.events and isinstance(page.events[-1], End):
                    return page.events[-1]
                if found:
                    position = found[0][1][-1][0]


@pytest.fixture
async def client(valkey_url: str) -> AsyncIterator[Client]:
    redis = connect(valkey_url)
    bus = RedisStreamBus(redis, valkey_url)
    yield Client(redis, ArqJobQueue(redis, bus), bus)
    await redis.aclose()


def settings_for(redis_url: str, services: Services, model_url: str, **changes: object) -> WorkerSettings:
    fields: dict[str, object] = {
        "redis_url": redis_url,
        "persona_url": services.url,
        "memory_url": services.url,
        "model_url": model_url,
        "worker_drain_seconds": 0.2,
        "model_first_token_seconds": 2.0,
    }
    return WorkerSettings.model_validate(fields | changes)


@asynccontextmanager
async def running_worker(settings: WorkerSettings) -> AsyncIterator[None]:
    app = build_app(settings)
    async with app.router.lifespan_context(app):
        yield
