"""Composition root of the memory service: migrations, pool, embedder, store, routes, probes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta

import aiohttp
import asyncpg
from fastapi import APIRouter, FastAPI

from pmcp_common.clock import Clock, SystemClock
from pmcp_common.contracts.memories import MAX_CONTENT_BYTES, MAX_TURNS_PER_COMMIT
from pmcp_common.http_service import ReadinessCheck, create_app
from pmcp_common.postgres import connect_pool, migrate
from pmcp_memory.accepted_jobs import JOB_MIGRATIONS, AcceptedJobStore
from pmcp_memory.accepted_jobs_api import accepted_job_routes
from pmcp_memory.access_counts import AccessCounts
from pmcp_memory.api import memory_routes
from pmcp_memory.api_inspection import inspection_routes
from pmcp_memory.api_life import life_routes
from pmcp_memory.api_saves import save_routes
from pmcp_memory.api_sharing import sharing_routes
from pmcp_memory.api_tending import tending_routes
from pmcp_memory.conversation_api import conversation_routes
from pmcp_memory.conversation_store import ConversationStore
from pmcp_memory.database import SESSION_SETTINGS, UPKEEP_SETTINGS, Database
from pmcp_memory.embedding import Embedder, Urgency
from pmcp_memory.embedding_cache import CachedEmbedder
from pmcp_memory.embedding_checked import CheckedEmbedder
from pmcp_memory.embedding_minilm import open_minilm
from pmcp_memory.embedding_ollama import OllamaEmbedder
from pmcp_memory.embedding_openai import OpenAiEmbedder
from pmcp_memory.inspection_store import InspectionStore
from pmcp_memory.keeping import Keeping
from pmcp_memory.learning import Learning
from pmcp_memory.learning_api import learning_routes
from pmcp_memory.learning_store import LearningStore
from pmcp_memory.life_store import LifeStore
from pmcp_memory.loading import Loading
from pmcp_memory.model_store import ModelStore
from pmcp_memory.recall_store import RecallStore
from pmcp_memory.recollection import Recollection
from pmcp_memory.saves_store import SavesStore
from pmcp_memory.settings import MemorySettings
from pmcp_memory.sharing import Sharing
from pmcp_memory.sharing_store import SharingStore
from pmcp_memory.store import MIGRATIONS, MemoryStore
from pmcp_memory.tending import Rules, Tending
from pmcp_memory.tending_store import TendingStore
from pmcp_memory.upkeep import MODEL_HELD_SECONDS, Upkeep
from pmcp_memory.upkeep_store import UpkeepStore

# A full commit in UTF-8 JSON, with room for escapes.
MAX_BODY_BYTES = 2 * MAX_TURNS_PER_COMMIT * MAX_CONTENT_BYTES
ACCESS_FLUSH_SECONDS = 2.0
UPKEEP_CONNECTIONS = 3
"""A long statement, one beside it, and the lease."""

OpenEmbedder = Callable[[MemorySettings], Awaitable[Embedder]]


async def open_embedder(settings: MemorySettings) -> Embedder:
    if settings.embedder == "ollama":
        return OllamaEmbedder(
            aiohttp.ClientSession(),
            settings.embedder_url,
            settings.embedder_model,
            dimension=settings.embedder_dimension,
        )
    if settings.embedder == "openai":
        key = settings.embedder_api_key
        return OpenAiEmbedder(
            aiohttp.ClientSession(),
            settings.embedder_url,
            settings.embedder_model,
            api_key=key.get_secret_value() if key else None,
            dimension=settings.embedder_dimension,
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
            for router in await _open_routes(resources, settings, the_clock, embedder, readiness):
                app.include_router(router)
            yield

    return create_app("Memory service", lifespan=lifespan, readiness=readiness, max_body_bytes=MAX_BODY_BYTES)


async def _open_routes(
    resources: AsyncExitStack,
    settings: MemorySettings,
    clock: Clock,
    embedder: OpenEmbedder,
    readiness: dict[str, ReadinessCheck],
) -> list[APIRouter]:
    """Everything the routes stand on; `resources` closes it again."""
    pool = await _open_pool(settings)
    resources.push_async_callback(pool.close)
    model = await embedder(settings)
    resources.push_async_callback(model.close)
    database = Database(pool, acquire_timeout_seconds=settings.memory_statement_seconds)
    checked = CheckedEmbedder(model, ModelStore(database))
    cached = CachedEmbedder(checked, max_entries=settings.embedder_cache_entries)
    store = MemoryStore(database)
    accesses = AccessCounts(store, clock)
    resources.push_async_callback(accesses.flush)
    await resources.enter_async_context(_running(accesses.flush_every(ACCESS_FLUSH_SECONDS)))
    recollection = Recollection(
        store,
        RecallStore(database),
        cached,
        accesses,
        clock,
        _new_id,
        recall_timeout_seconds=settings.memory_recall_seconds,
    )
    resources.push_async_callback(recollection.close)
    readiness["postgres"] = store.check
    # The model itself: a cached answer would prove nothing.
    readiness["embedder"] = _embedder_check(checked)
    upkeep_pool = await _start_upkeep(resources, settings, checked, clock)
    # Apart again: whoever asks for a long pruning must not keep upkeep from its lease.
    tending_pool = await _open_upkeep_pool(settings, name="tending", connections=2)
    resources.push_async_callback(tending_pool.close)
    saves = SavesStore(database)
    loading = _make_loading(settings, upkeep_pool, saves, recollection, clock)
    return [
        accepted_job_routes(AcceptedJobStore(database)),
        memory_routes(recollection),
        conversation_routes(ConversationStore(database), clock),
        learning_routes(Learning(LearningStore(database), cached, clock, new_id=_new_id)),
        tending_routes(_make_tending(settings, tending_pool, clock)),
        sharing_routes(Sharing(SharingStore(database), cached, accesses)),
        inspection_routes(InspectionStore(database)),
        life_routes(Keeping(store, LifeStore(database), cached, clock, new_id=_new_id)),
        save_routes(saves, loading, clock),
    ]


async def _start_upkeep(
    resources: AsyncExitStack, settings: MemorySettings, embedder: Embedder, clock: Clock
) -> asyncpg.Pool:
    pool = await _open_upkeep_pool(settings)
    resources.push_async_callback(pool.close)
    upkeep = _make_upkeep(settings, pool, embedder, clock)
    await resources.enter_async_context(_running(upkeep.run_every(settings.memory_upkeep_seconds)))
    return pool


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


async def _open_upkeep_pool(
    settings: MemorySettings, *, name: str = "upkeep", connections: int = UPKEEP_CONNECTIONS
) -> asyncpg.Pool:
    """Apart from the replies' one: its statements may take longer, and must not take their connections."""
    return await connect_pool(
        settings.postgres_dsn.get_secret_value(),
        application_name=f"pmcp-memory-{name}",
        min_size=0,
        max_size=connections,
        statement_timeout_seconds=settings.memory_upkeep_statement_seconds,
        vectors=True,
        session_settings=UPKEEP_SETTINGS,
    )


def _make_upkeep(settings: MemorySettings, pool: asyncpg.Pool, embedder: Embedder, clock: Clock) -> Upkeep:
    database = Database(pool, acquire_timeout_seconds=settings.memory_upkeep_statement_seconds)
    tending = _make_tending(settings, pool, clock)
    return Upkeep(
        UpkeepStore(database),
        ModelStore(database),
        tending,
        embedder,
        clock,
        _new_id(),
        exact_memories=settings.memory_exact_limit,
        model_held_seconds=max(MODEL_HELD_SECONDS, 3 * settings.memory_upkeep_seconds),
    )


def _make_loading(
    settings: MemorySettings, pool: asyncpg.Pool, saves: SavesStore, recollection: Recollection, clock: Clock
) -> Loading:
    """`pool`: upkeep's, for dropping an index waits for whoever reads."""
    database = Database(pool, acquire_timeout_seconds=settings.memory_upkeep_statement_seconds)
    limit = settings.memory_exact_limit
    return Loading(saves, UpkeepStore(database), recollection, clock, exact_memories=limit)


def _make_tending(settings: MemorySettings, pool: asyncpg.Pool, clock: Clock) -> Tending:
    rules = Rules(
        settings.memory_decay,
        max_memories=settings.memory_max_per_player,
        max_when_asked=settings.memory_prune_limit,
        decay_every=timedelta(hours=settings.memory_decay_hours),
        auto_pruning=settings.memory_auto_prune,
    )
    database = Database(pool, acquire_timeout_seconds=settings.memory_upkeep_statement_seconds)
    return Tending(TendingStore(database), clock, rules)


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
