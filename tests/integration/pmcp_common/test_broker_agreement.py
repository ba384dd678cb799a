"""The Lua scripts and the in-memory twin are the same machine: whatever happens, in any order, both answer alike.

The twin runs `contracts.jobs.TRANSITIONS`; so what the table does not know, the scripts refuse, and change nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pmcp_common.bus_redis import RedisStreamBus
from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.jobs import (
    TERMINAL_STATES,
    AppendResult,
    Claim,
    ClaimRefusal,
    Delta,
    IllegalTransition,
    JobState,
)
from pmcp_common.queue_arq import ArqJobQueue
from pmcp_common.redis_link import connect
from pmcp_common.testing.broker_memory import MemoryBroker
from tests.integration.pmcp_common.test_broker_contract import SteppedClock, end, submission

JOBS = [replace(submission(), job_id=name, message_id=f"m-{name}", user_message_id=f"u-{name}") for name in "ab"]
"""Two turns of one conversation."""
WHICH = st.integers(0, 1)
CLAIM = st.integers(0, 5)
SHIFT = st.sampled_from([-1, 0, 0, 0, 0, 1])
STEPS = st.one_of(
    st.tuples(st.just("submit"), WHICH),
    st.tuples(st.just("claim"), WHICH),
    st.tuples(st.just("append"), CLAIM, SHIFT),
    st.tuples(st.just("renew"), CLAIM, st.booleans()),
    st.tuples(st.just("finish"), CLAIM, SHIFT, st.sampled_from(sorted(TERMINAL_STATES))),
    st.tuples(st.just("release"), CLAIM),
    st.tuples(st.just("cancel"), WHICH),
    st.tuples(st.just("lose"), WHICH),
)


class Machine:
    """One broker and the claims made on it so far; the first two are forged, of jobs nobody holds."""

    def __init__(self, queue: Any, bus: Any, lose: Any) -> None:
        self.queue, self.bus, self._lose = queue, bus, lose  # `lose`: ends a lease and reaps
        self.claims = [Claim(job, "aria", 0, 1, 0, cancelled=False, queued_ms=0.0) for job in JOBS]

    async def do(self, name: str, *arguments: Any) -> Any:
        step = getattr(self, f"_{name}")(*arguments)
        try:
            return await step
        except (DomainError, IllegalTransition) as error:
            return type(error).__name__

    async def _submit(self, which: int) -> str:
        return str((await self.queue.submit(JOBS[which])).stream_id)

    async def _claim(self, which: int) -> Any:
        answer: Claim | ClaimRefusal = await self.queue.claim("local", JOBS[which].job_id)
        if isinstance(answer, ClaimRefusal):
            return answer
        self.claims.append(answer)
        return answer.fence, answer.attempt, answer.last_seq, answer.cancelled, answer.handed_back

    async def _append(self, number: int, shift: int) -> Any:
        claim = self.claims[number % len(self.claims)]
        seq = await self._head(claim) + 1 + shift
        [answer] = await self.bus.append([(claim, Delta(claim.submission.job_id, seq, claim.attempt, f"{seq} "))])
        return answer

    async def _renew(self, number: int, committing: bool) -> AppendResult:
        answer: AppendResult = await self.queue.renew(self.claims[number % len(self.claims)], committing=committing)
        return answer

    async def _finish(self, number: int, shift: int, state: JobState) -> Any:
        claim = self.claims[number % len(self.claims)]
        last = end(claim, await self._head(claim) + 1 + shift, "text", state)
        return await self.queue.finish(claim, last, remember=False)

    async def _release(self, number: int) -> Any:
        return await self.queue.release(self.claims[number % len(self.claims)])

    async def _cancel(self, which: int) -> Any:
        return await self.queue.cancel("local", "local", JOBS[which].job_id)

    async def _head(self, claim: Claim) -> int:
        try:
            return int((await self.bus.read("local", "local", claim.submission.job_id, 0)).head_seq)
        except DomainError:
            return 0

    async def state(self) -> list[Any]:
        return [await self.do("look", which) for which in (0, 1)]

    async def _look(self, which: int) -> Any:
        page = await self.bus.read("local", "local", JOBS[which].job_id, 0)
        return page.state, [(event.seq, event.attempt, event.text) for event in page.events]


async def both(url: str, steps: list[tuple[Any, ...]]) -> None:
    redis = connect(url)
    await redis.flushall()
    bus = RedisStreamBus(redis, url)
    queue = ArqJobQueue(redis, bus)
    twin = MemoryBroker(SteppedClock())

    async def lose_in_redis(which: int) -> Any:
        await redis.zadd(keys.RUNNING, {f"local/{JOBS[which].job_id}": 1}, xx=True)
        return await queue.reap()

    async def lose_in_twin(which: int) -> Any:
        job = twin._jobs.get(("local", JOBS[which].job_id))
        if job is not None and job.lease is not None:
            job.lease = -1.0
        return await twin.reap()

    machines = (Machine(queue, bus, lose_in_redis), Machine(twin, twin, lose_in_twin))
    for step in steps:
        answers = [await machine.do(*step) for machine in machines]
        assert answers[0] == answers[1], step
        states: list[Any] = [await machine.state() for machine in machines]
        assert states[0] == states[1], step
    await redis.aclose()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=25))
def test_both_machines_answer_alike_and_stand_alike(valkey_url: str, steps: list[tuple[Any, ...]]) -> None:
    asyncio.run(within_a_minute(both(valkey_url, [("submit", 0), *steps])))


async def within_a_minute(work: Awaitable[None]) -> None:
    async with asyncio.timeout(60):
        await work


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([("claim", 0), ("renew", 2, True), ("append", 2, 0)], id="no word after the commit has begun"),
        pytest.param([("append", 0, 0)], id="no word of a job that waits"),
        pytest.param([("renew", 0, True)], id="no commit of a job that waits"),
        pytest.param([("finish", 0, 0, JobState.DONE)], id="no reply of a job that waits"),
        pytest.param([("release", 0)], id="nobody hands back what he does not hold"),
    ],
)
async def test_what_the_table_does_not_know_is_refused_and_changes_nothing(
    valkey_url: str, steps: list[tuple[Any, ...]]
) -> None:
    await both(valkey_url, [("submit", 0), *steps])
    redis = connect(valkey_url)
    bus = RedisStreamBus(redis, valkey_url)
    machine = Machine(ArqJobQueue(redis, bus), bus, None)
    before = await machine.state()
    if len(steps) > 1:
        machine.claims += [Claim(JOBS[0], "aria", 1, 1, 0, cancelled=False, queued_ms=0.0)]
    assert await machine.do(*steps[-1]) in (AppendResult.ILLEGAL, "IllegalTransition", False)
    assert await machine.state() == before
    await redis.aclose()


async def test_a_job_handed_back_is_announced_at_once_and_does_not_count_as_lost(valkey_url: str) -> None:
    steps: list[tuple[Any, ...]] = [("submit", 0)]
    for number in range(5):
        steps += [("claim", 0), ("append", 2 + number, 0), ("release", 2 + number)]
    await both(valkey_url, [*steps, ("claim", 0)])
    redis = connect(valkey_url)
    assert await redis.llen(keys.wake(keys.REPLY_QUEUE)) == 6  # type: ignore[misc]
    await redis.aclose()


async def test_after_a_silence_the_living_may_renew_before_anything_is_taken_from_them(valkey_url: str) -> None:
    redis = connect(valkey_url)
    bus = RedisStreamBus(redis, valkey_url)
    queue = ArqJobQueue(redis, bus)
    await queue.submit(JOBS[0])
    claim = await queue.claim("local", JOBS[0].job_id)
    assert isinstance(claim, Claim)
    await queue.reap()
    await redis.zadd(keys.RUNNING, {f"local/{JOBS[0].job_id}": 1})
    await redis.set(keys.REAPED, 1)
    assert (await queue.reap()).requeued == 0
    assert await queue.renew(claim) is AppendResult.OK
    await redis.zadd(keys.RUNNING, {f"local/{JOBS[0].job_id}": 1})
    assert (await queue.reap()).requeued == 1
    await redis.aclose()
