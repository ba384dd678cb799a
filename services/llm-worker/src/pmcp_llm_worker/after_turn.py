"""A queue of slow work on conversations: part of the composition root. One job at a time in a worker, so that replies
keep the model; looked at after each turn.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from arq.worker import func
from redis.exceptions import RedisError

from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.memories import Turn
from pmcp_common.redis_link import BytesRedis
from pmcp_common.worker_arq import WakingWorker

log = logging.getLogger(__name__)

LookAfter = Callable[[str, Turn], Awaitable[None]]


class Work(Protocol):
    """On one side of a conversation: its id, the persona's and the player's."""

    async def __call__(self, ctx: dict[Any, Any], tenant: str, *side: str) -> None: ...

    async def is_due(self, tenant: str, side: Sequence[str]) -> bool: ...


def build_after_turn(
    name: str,
    work: Work,
    queue_name: str,
    redis: BytesRedis,
    redis_url: str,
    *,
    job_seconds: float,
    max_tries: int,
) -> tuple[WakingWorker, LookAfter]:
    """The worker, and what puts a conversation in its queue after a turn, once while it waits or runs."""

    async def run(ctx: dict[Any, Any], tenant: str, *side: str) -> None:
        await work(ctx, tenant, *side)

    worker = WakingWorker(
        [func(run, name=name)],
        redis=redis,
        redis_url=redis_url,
        queue_name=queue_name,
        max_jobs=1,
        job_timeout_seconds=job_seconds,
        max_tries=max_tries,
    )

    async def look_after(tenant: str, turn: Turn) -> None:
        side = (turn.conversation_id, turn.persona_id, turn.player_id)
        try:
            if await work.is_due(tenant, side):
                job_id = f"{name}:{tenant}:{turn.conversation_id}"
                await worker.pool.enqueue_job(name, tenant, *side, _job_id=job_id, _queue_name=queue_name)
        except (DomainError, RedisError) as error:
            # The conversation's next turn asks again.
            log.warning("not looked whether it is due", extra={"job": name, "error": type(error).__name__})

    return worker, look_after


def one_after_the_other(*steps: LookAfter) -> LookAfter:
    async def look_after(tenant: str, turn: Turn) -> None:
        for step in steps:
            await step(tenant, turn)

    return look_after
