"""The queue of summaries: part of the composition root. One at a time in a worker, so that replies keep the model."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from arq.worker import func
from redis.exceptions import RedisError

from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.memories import Turn
from pmcp_common.redis_link import BytesRedis
from pmcp_common.worker_arq import WakingWorker
from pmcp_llm_worker.summarise import SUMMARY_TRIES, Summariser

log = logging.getLogger(__name__)

SUMMARY_SECONDS = 300.0


def build_summary_worker(
    summariser: Summariser, redis: BytesRedis, redis_url: str
) -> tuple[WakingWorker, Callable[[str, Turn], Awaitable[None]]]:
    """The worker, and what puts a conversation in its queue after a turn, once while it waits or runs."""

    async def run(ctx: dict[Any, Any], *arguments: str) -> None:
        await summariser(ctx, *arguments)

    worker = WakingWorker(
        [func(run, name="summarise")],
        redis=redis,
        redis_url=redis_url,
        queue_name=keys.SUMMARY_QUEUE,
        max_jobs=1,
        job_timeout_seconds=SUMMARY_SECONDS,
        max_tries=SUMMARY_TRIES,
    )

    async def look_after(tenant: str, turn: Turn) -> None:
        side = (turn.conversation_id, turn.persona_id, turn.player_id)
        try:
            if await summariser.is_due(tenant, side):
                name = f"summarise:{tenant}:{turn.conversation_id}"
                await worker.pool.enqueue_job("summarise", tenant, *side, _job_id=name, _queue_name=keys.SUMMARY_QUEUE)
        except (DomainError, RedisError) as error:
            # The conversation's next turn asks again.
            log.warning("not looked whether a summary is due", extra={"error": type(error).__name__})

    return worker, look_after
