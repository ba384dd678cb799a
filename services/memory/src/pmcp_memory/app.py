"""Composition root of the memory service: migrations, pool, embedder, store, routes, probes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import aiohttp
import asyncpg
from fastapi import FastAPI

from pmcp_common.clock import Clock, SystemClock
from pmcp_common.contracts.memories import MAX_CONTENT_BYTES, MAX_TURNS_PER_COMMIT
from pmcp_common.http_service import ReadinessCheck, create_app
from pmcp_common.postgres import connect_pool, migrate
from pmcp_memory.accepted_jobs import JOB_MIGRATIONS, AcceptedJobStore
from pmcp_memory.accepted_jobs_api import accepted_job_routes
from pmcp_memory.access_counts import AccessCounts
from pmcp_memory.api import memory_routes
from pmcp_memory.api_life import life_routes
from pmcp_memory.conversation_api import conversation_routes
from pmcp_memory.conversation_store import ConversationStore
from pmcp_memory.database import SESSION_SETTINGS, Database
from pmcp_memory.embedding import Embedder, Urgency
from pmcp_memory.embedding_cache import CachedEmbedder
from pmcp_memory.embedding_minilm import open_minilm
from pmcp_memory.embedding_ollama import OllamaEmbedder
from pmcp_memory.embedding_openai import OpenAiEmbedder
from pmcp_memory.keeping import Keeping
from pmcp_memory.life_store import LifeStore
from pmcp_memory.recall_store import RecallStore
from pmcp_memory.recollection import Recollection
from pmcp_memory.settings import MemorySettings
from pmcp_memory.store import MIGRATIONS, MemoryStore
from pmcp_memory.upkeep import Rules, Upkeep
from pmcp_memory.upkeep_store import UpkeepStore

# A full commit in UTF-8 JSON, with room for escapes.
MAX_BODY_BYTES = 2 * MAX_TURNS_PER_COMMIT * MAX_CONTENT_BYTES
ACCESS_FLUSH_SECONDS = 2.0

OpenEmbedder = Callable[[MemorySettings], Awaitable[Embedder]]


async def open_embedder(settings: MemorySettings) -> Embedder:
    if settings.embedder == "ollama":
        return OllamaEmbedder(aiohttp.ClientSession(), settings.embedder_url, settings.embedder_model)
    if settings.embedder == "openai":
        key = settings.embedder_api_key
        return OpenAiEmbedder(
            aiohttp.ClientSession(),
            settings.embedder_url,
            settings.embedder_model,
            api_key=key.get_secret_value() if key else None,
        )
    return await asyncio.to_thread(open_minilm, settings.data_dir)


def build_app(
    settings: MemorySettings, *, clock: Clock | None = None, embedder: OpenEmbedder = open_embedder
) -> FastAPI:
    """`clock` and `embedder` are for tests; the system's otherwise."""
    readiness: dict[str, ReadinessCheck] = {}
    the_clock = clock or SystemClock()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as resources:
            dsn = settings.postgres_dsn.get_secret_value()
            await migrate(dsn, MIGRATIONS, "memory")
            await migrate(dsn, JOB_MIGRATIONS, "jobs")
            pool = await _open_pool(settings)
            resources.push_async_callback(pool.close)
            model = await embedder(settings)
            resources.push_async_callback(model.close)
            cached = CachedEmbedder(model, max_entries=settings.embedder_cache_entries)
            database = Database(pool, acquire_timeout_seconds=settings.memory_statement_seconds)
            store = MemoryStore(database)
            accesses = AccessCounts(store, the_clock)
            resources.push_async_callback(accesses.flush)
            await resources.enter_async_context(_running(accesses.flush_every(ACCESS_FLUSH_SECONDS)))
            recollection = Recollection(
                store,
                RecallStore(database),
                cached,
                accesses,
                the_clock,
                _new_id,
                recall_timeout_seconds=settings.memory_recall_seconds,
            )
            readiness["postgres"] = store.check
            # The model itself: a cached answer would prove nothing.
            readiness["embedder"] = _embedder_check(model)
            keeping = Keeping(store, LifeStore(database), cached, the_clock, new_id=_new_id)
            upkeep_pool = await _open_upkeep_pool(settings)
            resources.push_async_callback(upkeep_pool.close)
            upkeep = _make_upkeep(settings, upkeep_pool, model, the_clock)
            await resources.enter_async_context(_running(upkeep.run_every(settings.memory_upkeep_seconds)))
            app.include_router(accepted_job_routes(AcceptedJobStore(database)))
            app.include_router(memory_routes(recollection))
            app.include_router(conversation_routes(ConversationStore(database), the_clock))
            app.include_router(life_routes(keeping))
            yield

    return create_app("Memory service", lifespan=lifespan, readiness=readiness, max_body_bytes=MAX_BODY_BYTES)


async def _open_pool(settings: MemorySettings) -> asyncpg.Pool:
    return await connect_pool(
        settings.postgres_dsn.get_secret_value(),
        application_name="pmcp-memory",
        min_size=min(2, settings.memory_pool_size),
        max_size=settings.memory_pool_size,
        statement_timeout_seconds=settings.memory_statement_seconds,
        vectors=True,
        session_settings=SESSION_SETTINGS,
    )


async def _open_upkeep_pool(settings: MemorySettings) -> asyncpg.Pool:
    """Apart from the replies' one: its statements may take longer, and must not take their connections."""
    return await connect_pool(
        settings.postgres_dsn.get_secret_value(),
        application_name="pmcp-memory-upkeep",
        min_size=0,
        # A long statement, one beside it, and the lease.
        max_size=3,
        statement_timeout_seconds=settings.memory_upkeep_statement_seconds,
        vectors=True,
        session_settings=SESSION_SETTINGS,
    )


def _make_upkeep(settings: MemorySettings, pool: asyncpg.Pool, embedder: Embedder, clock: Clock) -> Upkeep:
    database = Database(pool, acquire_timeout_seconds=settings.memory_upkeep_statement_seconds)
    rules = Rules(settings.memory_decay, settings.memory_max_per_player, settings.memory_exact_limit)
    return Upkeep(UpkeepStore(database), embedder, clock, _new_id(), rules)


def _new_id() -> str:
    return str(uuid.uuid4())


def _embedder_check(embedder: Embedder) -> ReadinessCheck:
    async def check() -> None:
        await embedder.embed(["ready?"], Urgency.QUERY)

    return check


@asynccontextmanager
async def _running(work: Awaitable[None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
