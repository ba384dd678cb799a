"""Composition root of the llm-worker: queues, bus, peers, model, use cases, background tasks, probes.

Two queues in one process: replies, as many as the model server has slots; and the off-path jobs, two at a time, so
that they never take a reply's place. Nothing here waits for Redis, a service or the model: each may come later.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from arq.worker import func
from fastapi import FastAPI

from pmcp_common import peers_http
from pmcp_common.background import end_tasks, keep_running
from pmcp_common.bus_redis import RedisStreamBus
from pmcp_common.clock import Clock, SystemClock
from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import DomainError
from pmcp_common.conversations_http import HttpConversationPeer
from pmcp_common.http_service import ReadinessCheck, create_app
from pmcp_common.job_record_http import HttpJobRecord
from pmcp_common.queue import JobQueue
from pmcp_common.queue_arq import ArqJobQueue, job_of
from pmcp_common.redis_link import BytesRedis, broker_errors, connect
from pmcp_common.worker_arq import ClaimingWorker, WakingWorker
from pmcp_llm_worker import line_stream, turn_spool
from pmcp_llm_worker.after_turn import LookAfter, build_after_turn, one_after_the_other
from pmcp_llm_worker.chat_turn import ChatTurn
from pmcp_llm_worker.emitter import EmitterHub
from pmcp_llm_worker.job_ledger import JobLedger
from pmcp_llm_worker.job_ledger_redis import RedisJobBacklog
from pmcp_llm_worker.jobs import REMEMBER_TRIES, RememberJob, ReplyJob
from pmcp_llm_worker.learning_worker import build_learning
from pmcp_llm_worker.leases import Leases
from pmcp_llm_worker.model import Generation, ModelClient, Patience
from pmcp_llm_worker.model_retry import RetryingModel
from pmcp_llm_worker.model_watch import ModelWatch
from pmcp_llm_worker.models_board_redis import RedisModelsBoard
from pmcp_llm_worker.ollama import OllamaClient
from pmcp_llm_worker.openai_compat import OpenAICompatClient
from pmcp_llm_worker.persona_cache import PersonaCache
from pmcp_llm_worker.persona_shelf_redis import RedisPersonaShelf
from pmcp_llm_worker.settings import WorkerSettings
from pmcp_llm_worker.speech import ReplyLimits
from pmcp_llm_worker.summarise import SUMMARY_TRIES, Summariser, SummarySizes
from pmcp_llm_worker.turn_spool_redis import RedisTurnSpool

log = logging.getLogger(__name__)

REPLY_SECONDS = 320.0
"""The job's own deadline is 300 s, by the reaper; this one only frees the slot of a task that hangs."""
REMEMBER_SECONDS = 60.0
SUMMARY_SECONDS = 300.0
REMEMBER_JOBS = 2
REAP_SECONDS = 1.0
REAP_LEAST_SECONDS = 0.02
REDIS_CONNECTIONS = 64


@dataclass(slots=True)
class Process:
    """What runs, for the probes and the way out."""

    replies: WakingWorker
    remembering: WakingWorker
    summarising: WakingWorker
    learning: WakingWorker | None
    """None: it is switched off."""
    watch: ModelWatch
    tasks: list[asyncio.Task[None]]


def build_app(settings: WorkerSettings, clock: Clock | None = None) -> FastAPI:
    """`clock` is for tests; the system's otherwise."""
    readiness: dict[str, ReadinessCheck] = {}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as resources:
            process = await start(settings, clock or SystemClock(), resources, readiness)
            app.state.process = process
            try:
                yield
            finally:
                await stop(process, settings.worker_drain_seconds)

    return create_app("LLM worker", lifespan=lifespan, readiness=readiness)


async def start(
    settings: WorkerSettings, clock: Clock, resources: AsyncExitStack, readiness: dict[str, ReadinessCheck]
) -> Process:
    redis, peer_session, model_session = await connect_all(settings, resources)
    timeout_seconds = settings.peer_timeout_seconds
    personas = peers_http.HttpPersonaPeer(peer_session, settings.persona_url, timeout_seconds=timeout_seconds)
    memory = peers_http.HttpMemoryPeer(peer_session, settings.memory_url, timeout_seconds=timeout_seconds)
    redis_url = settings.redis_url.get_secret_value()
    bus = RedisStreamBus(redis, redis_url)
    queue = ArqJobQueue(redis, bus)
    leases = Leases(queue)
    spool = RedisTurnSpool(redis)
    client = build_client(settings, model_session, clock)
    watch = ModelWatch(client, RedisModelsBoard(redis), clock, settings.tenant, worker_id())
    model = RetryingModel(client, clock)
    limits = reply_limits(settings)
    turn = ChatTurn(
        queue=queue,
        bus=bus,
        hub=EmitterHub(bus, clock),
        personas=PersonaCache(personas, RedisPersonaShelf(redis)),
        memory=memory,
        model=model,
        spool=spool,
        clock=clock,
        limits=limits,
    )
    summarising, look_for_summary = build_summaries(settings, redis, peer_session, model, limits)
    learning, look_for_lessons = build_learning(settings, redis, peer_session, model, limits, clock)
    look_after = one_after_the_other(look_for_summary, look_for_lessons)
    reply = ReplyJob(queue, bus, leases, turn, watch.note_answer)
    replies, remembering = build_workers(settings, redis, reply, RememberJob(memory, personas, look_after))
    # Not the model: without it the worker still answers, with fallback lines. `system.models` says what is wrong.
    readiness.update(redis=ping(redis), personas=personas.ready, memory=memory.ready)
    background: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = (
        replies.async_run,
        remembering.async_run,
        summarising.async_run,
        *([] if learning is None else [learning.async_run]),
        leases.renew_forever,
        lambda: leases.follow_cancellations(bus),
        lambda: reap_forever(queue),
        lambda: turn_spool.flush_forever(spool, memory),
        build_ledger(settings, redis, queue, peer_session, clock).keep,
        watch.run,
    )
    return Process(replies, remembering, summarising, learning, watch, [keep_running(step()) for step in background])


async def connect_all(
    settings: WorkerSettings, resources: AsyncExitStack
) -> tuple[BytesRedis, aiohttp.ClientSession, aiohttp.ClientSession]:
    """Redis, and the HTTP sessions of the services and of the model."""
    redis = connect(settings.redis_url.get_secret_value(), max_connections=REDIS_CONNECTIONS + settings.worker_max_jobs)
    resources.push_async_callback(redis.aclose)
    jobs = settings.worker_max_jobs
    peers = await resources.enter_async_context(peers_http.open_session(connections=2 * jobs + 4))
    models = await resources.enter_async_context(line_stream.open_session(connections=jobs + 4))
    return redis, peers, models


async def stop(process: Process, drain_seconds: float) -> None:
    """Let running replies end; those that do not in time are handed back, and another worker goes on at once."""
    workers = (process.replies, process.remembering, process.summarising, process.learning)
    await asyncio.gather(*(worker.drain(drain_seconds) for worker in workers if worker is not None))
    await end_tasks(process.tasks)
    await process.watch.leave()


def build_summaries(
    settings: WorkerSettings,
    redis: BytesRedis,
    session: aiohttp.ClientSession,
    model: RetryingModel,
    limits: ReplyLimits,
) -> tuple[WakingWorker, LookAfter]:
    conversations = HttpConversationPeer(session, settings.memory_url, timeout_seconds=settings.peer_timeout_seconds)
    sizes = SummarySizes(settings.prompt_turns, settings.summary_after_turns)
    return build_after_turn(
        "summarise",
        Summariser(conversations, model, limits.generation, limits.patience, sizes),
        keys.SUMMARY_QUEUE,
        redis,
        settings.redis_url.get_secret_value(),
        job_seconds=SUMMARY_SECONDS,
        max_tries=SUMMARY_TRIES,
    )


def build_ledger(
    settings: WorkerSettings, redis: BytesRedis, queue: JobQueue, session: aiohttp.ClientSession, clock: Clock
) -> JobLedger:
    record = HttpJobRecord(session, settings.memory_url, timeout_seconds=settings.peer_timeout_seconds)
    return JobLedger(queue, RedisJobBacklog(redis, worker_id()), record, clock)


def build_client(settings: WorkerSettings, session: aiohttp.ClientSession, clock: Clock) -> ModelClient:
    if settings.model_api == "ollama":
        return OllamaClient(session, settings.model_url, settings.model_name, clock)
    key = settings.model_api_key.get_secret_value() if settings.model_api_key else None
    return OpenAICompatClient(session, settings.model_url, settings.model_name, clock, key)


def reply_limits(settings: WorkerSettings) -> ReplyLimits:
    return ReplyLimits(
        Generation(
            max_tokens=settings.model_max_tokens,
            num_ctx=settings.model_num_ctx,
            temperature=settings.model_temperature,
            top_p=settings.model_top_p,
            repeat_penalty=settings.model_repeat_penalty,
        ),
        Patience(
            first_token=settings.model_first_token_seconds,
            idle=settings.model_idle_seconds,
            total=settings.model_total_seconds,
        ),
        settings.prompt_turns,
    )


def build_workers(
    settings: WorkerSettings, redis: BytesRedis, reply: ReplyJob, remember: RememberJob
) -> tuple[WakingWorker, WakingWorker]:
    async def run_reply(ticket: str) -> None:
        await reply(*job_of(ticket), ticket)

    async def run_remember(ctx: dict[Any, Any], *arguments: Any) -> None:
        await remember(ctx, *arguments)

    return (
        ClaimingWorker(
            run_reply,
            redis=redis,
            redis_url=settings.redis_url.get_secret_value(),
            queue_name=keys.REPLY_QUEUE,
            max_jobs=settings.worker_max_jobs,
            job_timeout_seconds=REPLY_SECONDS,
        ),
        WakingWorker(
            [func(run_remember, name="remember")],
            redis=redis,
            redis_url=settings.redis_url.get_secret_value(),
            queue_name=keys.REMEMBER_QUEUE,
            max_jobs=REMEMBER_JOBS,
            job_timeout_seconds=REMEMBER_SECONDS,
            max_tries=REMEMBER_TRIES,
        ),
    )


async def reap_forever(
    queue: JobQueue,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    jitter: Callable[[], float] = random.random,
) -> None:
    """Every worker does it, at its own times, and when a lease or a deadline ends: any of them notices it at once."""
    next_seconds: float | None = None
    while True:
        pause = REAP_SECONDS * (0.75 + jitter() / 2)
        await sleep(pause if next_seconds is None else min(pause, next_seconds + REAP_LEAST_SECONDS))
        next_seconds = None
        try:
            reaped = await queue.reap()
        except DomainError as error:
            log.warning("reaper waits", extra={"code": error.code})
            continue
        next_seconds = reaped.next_seconds
        if reaped.requeued or reaped.ended:
            log.warning("leases or deadlines ended", extra={"requeued": reaped.requeued, "ended": reaped.ended})


def ping(redis: BytesRedis) -> ReadinessCheck:
    async def check() -> None:
        with broker_errors():
            await redis.ping()

    return check


def worker_id() -> str:
    """New with each start: a restarted worker is another one."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
