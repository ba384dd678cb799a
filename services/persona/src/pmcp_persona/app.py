"""Composition root of the persona service: migrations, pool, store, routes, probes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from pmcp_common.clock import Clock, SystemClock
from pmcp_common.http_service import ReadinessCheck, create_app
from pmcp_common.postgres import connect_pool, migrate
from pmcp_persona.api import EncodedPath, persona_routes
from pmcp_persona.settings import PersonaSettings
from pmcp_persona.store import MIGRATIONS, PersonaStore


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
        try:
            store = PersonaStore(pool, acquire_timeout_seconds=settings.persona_statement_seconds)
            readiness["postgres"] = store.check
            app.include_router(persona_routes(store, clock or SystemClock()))
            yield
        finally:
            await pool.close()

    app = create_app("Persona service", lifespan=lifespan, readiness=readiness)
    app.add_middleware(EncodedPath)
    return app
