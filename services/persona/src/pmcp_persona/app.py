"""Composition root of the persona service: migrations, pool, store, routes, probes."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from pmcp_common.clock import Clock, SystemClock
from pmcp_common.http_service import ReadinessCheck, create_app
from pmcp_common.postgres import connect_pool, migrate
from pmcp_common.redis_link import connect
from pmcp_persona.announcements import Announcer
from pmcp_persona.announcements_redis import RedisAnnouncer
from pmcp_persona.api import author_routes, interaction_routes, persona_routes
from pmcp_persona.api_inner_life import emotion_routes, relationship_routes
from pmcp_persona.api_saves import save_routes
from pmcp_persona.database import MIGRATIONS, Database
from pmcp_persona.inner_life import InnerLife
from pmcp_persona.saves import Saves
from pmcp_persona.segments import EncodedPath
from pmcp_persona.settings import PersonaSettings
from pmcp_persona.store import PersonaStore

ANNOUNCEMENT_SECONDS = 0.5
"""An author waits for it, and it is only a hint."""


def build_app(settings: PersonaSettings, clock: Clock | None = None) -> FastAPI:
    """`clock` is for tests; the system's otherwise."""
    readiness: dict[str, ReadinessCheck] = {}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        dsn = settings.postgres_dsn.get_secret_value()
        await migrate(dsn, MIGRATIONS, "persona")
        pool = await connect_pool(
            dsn,
            application_name="pmcp-persona",
            min_size=min(2, settings.persona_pool_size),
            max_size=settings.persona_pool_size,
            statement_timeout_seconds=settings.persona_statement_seconds,
        )
        redis = connect(settings.redis_url.get_secret_value(), timeout_seconds=ANNOUNCEMENT_SECONDS, max_connections=8)
        try:
            database = Database(pool, acquire_timeout_seconds=settings.persona_statement_seconds)
            readiness["postgres"] = database.check
            for routes in _routes(database, RedisAnnouncer(redis), settings, clock or SystemClock()):
                app.include_router(routes)
            yield
        finally:
            await redis.aclose()
            await pool.close()

    app = create_app("Persona service", lifespan=lifespan, readiness=readiness)
    app.add_middleware(EncodedPath)
    return app


def _routes(database: Database, announcer: Announcer, settings: PersonaSettings, clock: Clock) -> tuple[APIRouter, ...]:
    store = PersonaStore(database)
    inner_life = InnerLife(database, world=settings.persona_interaction_scope == "world")
    return (
        persona_routes(store, inner_life, clock),
        author_routes(store, announcer, clock, lambda: str(uuid.uuid4())),
        interaction_routes(inner_life, clock),
        relationship_routes(inner_life, clock),
        emotion_routes(inner_life, clock),
        save_routes(Saves(database), clock),
    )
