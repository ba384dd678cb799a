"""Composition root of the gateway: Redis, peers, relay, the socket endpoint, probes. Read top to bottom."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
from fastapi import FastAPI
from starlette.routing import WebSocketRoute

from pmcp_common.background import end_tasks, keep_running
from pmcp_common.bus_redis import RedisStreamBus
from pmcp_common.clock import SystemClock
from pmcp_common.conversations_http import HttpConversationPeer
from pmcp_common.http_service import ReadinessCheck, create_app
from pmcp_common.job_record_http import HttpJobRecord
from pmcp_common.job_record_redis import RedisRecordMarks
from pmcp_common.memory_keeping_http import HttpKeepingPeer
from pmcp_common.memory_tending_http import HttpTendingPeer
from pmcp_common.peers_http import HttpMemoryPeer, HttpPersonaPeer, open_session
from pmcp_common.queue_arq import ArqJobQueue, QueueLimits
from pmcp_common.redis_link import BytesRedis, connect
from pmcp_common.saves_http import HttpSavesPeer
from pmcp_gateway.connection import SocketEndpoint
from pmcp_gateway.interruptions import Interruptions
from pmcp_gateway.interruptions_redis import RedisInterruptions
from pmcp_gateway.methods.call import Services
from pmcp_gateway.methods.persona_names import PersonaNames
from pmcp_gateway.persona_changes_redis import follow_changes
from pmcp_gateway.persona_copies_redis import RedisPersonaCopies
from pmcp_gateway.recording import RECORD_SECONDS, Recording
from pmcp_gateway.relay import Relay
from pmcp_gateway.reports_redis import RedisReports
from pmcp_gateway.session_upkeep import end_expired_forever
from pmcp_gateway.sessions_redis import RedisSessions
from pmcp_gateway.settings import GatewaySettings
from pmcp_gateway.sights_redis import RedisSights
from pmcp_gateway.talks_redis import RedisTalks
from pmcp_gateway.timestamps import Stamps
from pmcp_gateway.underway_redis import RedisUnderway

VERSION = "0.1.0"
SWEEP_SECONDS = 1.0


def build_app(settings: GatewaySettings, gateway_id: str | None = None) -> FastAPI:
    """`gateway_id` names the process's live channel; a fresh one otherwise."""
    readiness: dict[str, ReadinessCheck] = {}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        url = settings.redis_url.get_secret_value()
        redis = connect(url, timeout_seconds=settings.gateway_redis_seconds, max_connections=1000)
        async with open_session() as http, _closing(redis):
            personas = HttpPersonaPeer(http, settings.persona_url)
            memories = HttpMemoryPeer(http, settings.memory_url)
            name = gateway_id or uuid.uuid4().hex
            services = _services(redis, http, settings, personas, memories, name)
            book = RedisInterruptions(redis)
            interruptions = Interruptions(book, services.queue, settings.gateway_interrupt_seconds)
            endpoint = SocketEndpoint(services, settings.tenant, settings.socket_limits(), interruptions)

            async def check_redis() -> None:
                await redis.ping()

            readiness.update(redis=check_redis, persona=personas.ready, memory=memories.ready)
            app.router.routes.append(WebSocketRoute("/mcp", endpoint))
            works = services.relay.run(), _sweeping(endpoint), endpoint.follow_replacements(), interruptions.run()
            upkeep = end_expired_forever(RedisSessions(redis, url), settings.tenant, name)
            async with _running(*works, upkeep, services.recording.run(), follow_changes(url, services.names)):
                yield
            await interruptions.leave()

    app = create_app("Persona MCP gateway", lifespan=lifespan, readiness=readiness)

    @app.get("/")
    async def health() -> dict[str, str]:
        return {"status": "healthy", "server": "Persona MCP Server", "version": VERSION}

    return app


def _services(
    redis: BytesRedis,
    http: aiohttp.ClientSession,
    settings: GatewaySettings,
    personas: HttpPersonaPeer,
    memories: HttpMemoryPeer,
    gateway_id: str,
) -> Services:
    clock = SystemClock()
    url, keep_seconds = settings.redis_url.get_secret_value(), settings.session_seconds
    bus = RedisStreamBus(redis, url)
    queue = ArqJobQueue(redis, bus, QueueLimits(session_seconds=keep_seconds))
    record = HttpJobRecord(http, settings.memory_url, timeout_seconds=RECORD_SECONDS)
    return Services(
        gateway_id=gateway_id,
        queue=queue,
        bus=bus,
        relay=Relay(bus, gateway_id, clock, expire=queue.expire),
        personas=personas,
        memories=memories,
        conversations=HttpConversationPeer(http, settings.memory_url),
        keeping=HttpKeepingPeer(http, settings.memory_url),
        tending=HttpTendingPeer(http, settings.memory_url),
        saves=HttpSavesPeer(http, settings.persona_url, settings.memory_url),
        underway=RedisUnderway(redis),
        talks=RedisTalks(redis, keep_seconds=keep_seconds),
        sights=RedisSights(redis, keep_seconds=settings.sights_seconds),
        sessions=RedisSessions(redis, url, keep_seconds=keep_seconds),
        reports=RedisReports(redis),
        names=PersonaNames(personas, clock, RedisPersonaCopies(redis)),
        clock=clock,
        stamps=Stamps(clock),
        new_id=lambda: str(uuid.uuid4()),
        recording=Recording(record, RedisRecordMarks(redis)),
        limits=replace(settings.request_limits(), resume_window_seconds=queue.limits.resume_window_seconds),
    )


@asynccontextmanager
async def _closing(redis: BytesRedis) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await redis.aclose()


@asynccontextmanager
async def _running(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [keep_running(work) for work in works]
    try:
        yield
    finally:
        await end_tasks(tasks)


async def _sweeping(endpoint: SocketEndpoint) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        endpoint.sweep()
