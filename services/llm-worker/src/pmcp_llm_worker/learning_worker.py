"""The queue of learning: part of the composition root. One at a time in a worker, and only when it is switched on."""

from __future__ import annotations

import aiohttp
from arq.utils import timestamp_ms

from pmcp_common.clock import Clock
from pmcp_common.contracts import keys
from pmcp_common.learning_http import HttpLearningPeer
from pmcp_common.redis_link import BytesRedis, broker_errors
from pmcp_common.worker_arq import WakingWorker
from pmcp_llm_worker.after_turn import LookAfter, build_after_turn, one_after_the_other
from pmcp_llm_worker.learn import Learner, LearningRules
from pmcp_llm_worker.learning_book_redis import RedisLearningBook
from pmcp_llm_worker.model_retry import RetryingModel
from pmcp_llm_worker.settings import WorkerSettings
from pmcp_llm_worker.speech import ReplyLimits

JOB_SECONDS = 330.0
"""One call of the model and what is around it."""
MAX_RUNS = 1_000_000
"""Waiting for replies and for budget are runs, too; failures are counted apart."""


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
    return build_after_turn(
        "learn",
        learner,
        keys.LEARNING_QUEUE,
        redis,
        settings.redis_url.get_secret_value(),
        job_seconds=JOB_SECONDS,
        max_tries=MAX_RUNS,
    )


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
