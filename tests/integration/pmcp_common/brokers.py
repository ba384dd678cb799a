"""A broker to be tested, as the in-memory twin or as Redis with arq, and jobs for it."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from pmcp_common.bus_redis import RedisStreamBus
from pmcp_common.contracts import keys
from pmcp_common.contracts.jobs import (
    Claim,
    Delta,
    End,
    JobState,
    Submission,
)
from pmcp_common.queue_arq import ArqJobQueue, QueueLimits, job_of
from pmcp_common.redis_link import connect
from pmcp_common.testing.broker_memory import MemoryBroker

WAIT_SECONDS = 5.0


class SteppedClock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


@dataclass
class Broker:
    """What both brokers offer, and how a test makes a lease end and takes the next job."""

    queue: Any
    bus: Any
    set_persona: Callable[[str, str], Awaitable[None]]
    expire_lease: Callable[[str], Awaitable[None]]
    next_ticket: Callable[[], Awaitable[tuple[str, str]]]
    """Job id and ticket of the next announced job; raises TimeoutError at once when none waits."""
    remembered: Callable[[], Awaitable[int]]
    pass_deadline: Callable[..., Awaitable[None]]
    """Of a job, by so many `seconds`."""
    set_generation: Callable[[str, int], Awaitable[None]]
    set_lines: Callable[[str, tuple[str, ...]], Awaitable[None]]
    """The canned lines of a persona, as the workers last saw it."""
    set_restored: Callable[[bool], Awaitable[None]]
    """Whether all that was lost with the broker's data is queued again."""


@asynccontextmanager
async def broker_on_redis(url: str) -> AsyncIterator[Broker]:
    redis = connect(url)
    bus = RedisStreamBus(redis, url)
    queue = ArqJobQueue(redis, bus, QueueLimits(max_queue=5, max_conversation=3))

    async def set_persona(session_id: str, persona_id: str) -> None:
        await redis.hset(  # type: ignore[misc]
            keys.session("local", session_id), mapping={"persona_id": persona_id, "persona_name": "Aria"}
        )

    async def expire_lease(job_id: str) -> None:
        await redis.zadd(keys.RUNNING, {f"local/{job_id}": 1})

    async def next_ticket() -> tuple[str, str]:
        ticket = await redis.lpop(keys.wake(keys.REPLY_QUEUE))  # type: ignore[misc]
        if ticket is None:
            raise TimeoutError
        text = ticket.decode()
        return job_of(text)[1], text

    async def remembered() -> int:
        return int(await redis.zcard(keys.REMEMBER_QUEUE))

    async def pass_deadline(job_id: str, seconds: float = 0.001) -> None:
        ended = str(int((time.time() - seconds) * 1000))
        await redis.hset(keys.job("local", job_id), "deadline_ms", ended)  # type: ignore[misc]

    async def set_generation(session_id: str, gen: int) -> None:
        await redis.hset(keys.session("local", session_id), "gen", str(gen))  # type: ignore[misc]

    async def set_lines(persona_id: str, lines: tuple[str, ...]) -> None:
        await redis.hset(keys.persona_shelf("local"), persona_id, orjson.dumps({"fallback_lines": lines}).decode())  # type: ignore[misc]

    async def set_restored(yes: bool) -> None:
        await redis.set(keys.EPOCH, "life")
        await redis.set(keys.RESTORED, "life" if yes else "?life")

    yield Broker(
        queue,
        bus,
        set_persona,
        expire_lease,
        next_ticket,
        remembered,
        pass_deadline,
        set_generation,
        set_lines,
        set_restored,
    )
    await redis.aclose()


def broker_in_memory() -> Broker:
    clock = SteppedClock()
    twin = MemoryBroker(clock, max_queue=5, max_conversation=3)

    async def set_persona(session_id: str, persona_id: str) -> None:
        twin.set_persona("local", session_id, persona_id, "Aria")

    async def expire_lease(job_id: str) -> None:
        job = twin._jobs["local", job_id]
        job.lease = None if job.lease is None else clock.seconds

    async def next_ticket() -> tuple[str, str]:
        async with asyncio.timeout(0.01):
            _, job_id, ticket = await twin.take_ticket()
        return job_id, ticket

    async def remembered() -> int:
        return len(twin.remembered)

    async def pass_deadline(job_id: str, seconds: float = 0.0) -> None:
        twin._jobs["local", job_id].deadline = clock.seconds - seconds

    async def set_generation(session_id: str, gen: int) -> None:
        twin.generations["local", session_id] = gen

    async def set_lines(persona_id: str, lines: tuple[str, ...]) -> None:
        twin.fallback_lines[persona_id] = lines

    async def set_restored(yes: bool) -> None:
        twin.is_restored = yes

    return Broker(
        twin,
        twin,
        set_persona,
        expire_lease,
        next_ticket,
        remembered,
        pass_deadline,
        set_generation,
        set_lines,
        set_restored,
    )


def submission(**fields: Any) -> Submission:
    job_id = str(uuid.uuid4())
    defaults: dict[str, Any] = {
        "tenant": "local",
        "principal": "local",
        "job_id": job_id,
        "message_id": f"m-{job_id}",
        "user_message_id": f"u-{job_id}",
        "session_id": "session-1",
        "player_id": "player-1",
        "message": "Hello",
        "token_budget": 100,
        "streaming": True,
        "gateway_id": "gateway-1",
        "request_id": "request-1",
        "accepted_at_ms": 0,
        "persona_id": "aria",
        "persona_name": "Aria",
    }
    return Submission(**(defaults | fields))


async def claimed(broker: Broker, job: Submission) -> Claim:
    await broker.queue.submit(job)
    claim = await broker.queue.claim(job.tenant, job.job_id)
    assert isinstance(claim, Claim)
    return claim


def delta(claim: Claim, seq: int, text: str) -> Delta:
    return Delta(claim.submission.job_id, seq, claim.attempt, text)


def end(claim: Claim, seq: int, text: str, state: JobState = JobState.DONE) -> End:
    return End(
        stream_id=claim.submission.job_id,
        seq=seq,
        attempt=claim.attempt,
        state=state.value,
        finish_reason="stop",
        text=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        message_id=claim.submission.message_id,
        user_message_id=claim.submission.user_message_id,
        persona_id=claim.persona_id,
        persona_name="Aria",
    )


end_of_turn = end
"""For tests in which `end` is a reply's."""


async def read(broker: Broker, job: Submission, after: int = 0, principal: str = "local") -> Any:
    return await broker.bus.read("local", principal, job.job_id, after)


async def begin(broker: Broker, **fields: Any) -> Claim:
    """A claimed job."""
    accepted = await broker.queue.submit(submission(**fields))
    claim = await broker.queue.claim("local", accepted.stream_id)
    assert isinstance(claim, Claim)
    return claim
