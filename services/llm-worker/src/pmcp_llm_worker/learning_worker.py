"""The queue of learning: part of the composition root. One at a time in a worker, and only when it is switched on."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from arq.utils import timestamp_ms
from arq.worker import func
from redis.exceptions import RedisError

from pmcp_common.clock import Clock
from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.memories import Turn
from pmcp_common.learning_http import HttpLearningPeer
from pmcp_common.redis_link import BytesRedis, broker_errors
from pmcp_common.worker_arq import WakingWorker
from pmcp_llm_worker.learn import Learner, LearningRules
from pmcp_llm_worker.learning_book_redis import RedisLearningBook
from pmcp_llm_worker.model_retry import RetryingModel
from pmcp_llm_worker.settings import WorkerSettings
from pmcp_llm_worker.speech import ReplyLimits

log = logging.getLogger(__name__)

JOB_SECONDS = 330.0
"""One call of the model and what is around it."""
MAX_RUNS = 1_000_000
"""Waiting for replies and for budget are runs, too; failures are counted apart."""

LookAfter = Callable[[str, Turn], Awaitable[None]]


def build_learning(
    settings: WorkerSettings,
    redis: BytesRedis,
    session: aiohttp.ClientSession,
    model: RetryingModel,
    limits: ReplyLimits,
    clock: Clock,
) -> tuple[WakingWorker | None, LookAfter]:
    """The worker, and what is to be done after a turn; no worker and nothing when it is switched off."""
    if settings.worker_extraction == "off":
        return None, one_after_the_other()
    learner = build_learner(settings, redis, session, model, limits, clock)
    return build_learning_worker(learner, redis, settings.redis_url.get_secret_value())


def build_learner(
    settings: WorkerSettings,
    redis: BytesRedis,
    session: aiohttp.ClientSession,
    model: RetryingModel,
    limits: ReplyLimits,
    clock: Clock,
) -> Learner:
    async def replies_wait() -> bool:
        with broker_errors():
            return bool(await redis.zcount(keys.REPLY_QUEUE, "-inf", timestamp_ms()))

    return Learner(
        HttpLearningPeer(session, settings.memory_url),
        RedisLearningBook(redis, clock, calls_per_hour=settings.worker_extraction_calls_per_hour),
        model,
        limits.generation,
        limits.patience,
        LearningRules(settings.model_name, settings.worker_extraction_after_turns),
        replies_wait,
    )


def build_learning_worker(learner: Learner, redis: BytesRedis, redis_url: str) -> tuple[WakingWorker, LookAfter]:
    """The worker, and what puts a conversation in its queue after a turn, once while it waits or runs."""

    async def run(ctx: dict[Any, Any], *arguments: str) -> None:
        await learner(ctx, *arguments)

    worker = WakingWorker(
        [func(run, name="learn")],
        redis=redis,
        redis_url=redis_url,
        queue_name=keys.LEARNING_QUEUE,
        max_jobs=1,
        job_timeout_seconds=JOB_SECONDS,
        max_tries=MAX_RUNS,
    )

    async def look_after(tenant: str, turn: Turn) -> None:
        side = (turn.conversation_id, turn.persona_id, turn.player_id)
        try:
            if await learner.is_due(tenant, side):
                name = f"learn:{tenant}:{turn.conversation_id}"
                await worker.pool.enqueue_job("learn", tenant, *side, _job_id=name, _queue_name=keys.LEARNING_QUEUE)
        except (DomainError, RedisError) as error:
            # The conversation's next turn asks again.
            log.warning("not looked whether there is something to learn", extra={"error": type(error).__name__})

    return worker, look_after


def one_after_the_other(*steps: LookAfter) -> LookAfter:
    async def look_after(tenant: str, turn: Turn) -> None:
        for step in steps:
            await step(tenant, turn)

    return look_after
