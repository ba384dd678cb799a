"""The Lua scripts and the in-memory twin are the same machine: whatever happens, in any order, both answer alike.

The twin runs `contracts.jobs.TRANSITIONS`; so what the table does not know, the scripts refuse, and change nothing.
And a script whose answer was lost on its way may be run again: the answer is the same, and nothing happens twice.
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
    Declared,
    Delta,
    IllegalTransition,
    JobState,
    Verdict,
)
from pmcp_common.queue_arq import ArqJobQueue
from pmcp_common.redis_link import Script, connect
from pmcp_common.testing.broker_memory import MemoryBroker
from tests.integration.pmcp_common.brokers import SteppedClock, end, submission

JOBS = [
    replace(
        submission(),
        job_id=name,
        message_id=f"m-{name}",
        user_message_id=f"u-{name}",
        deadline_ms=deadline_ms,
        idempotency_key=key,
        body_hash="h",
    )
    for name, deadline_ms, key in (("a", None, None), ("b", 60_000, "k"))
]
"""Two turns of one conversation; the client of the second set a deadline and a key."""
WHICH = st.integers(0, 1)
CLAIM = st.integers(0, 5)
SHIFT = st.sampled_from([-1, 0, 0, 0, 0, 1])
STEPS = st.one_of(
    st.tuples(st.just("submit"), WHICH),
    st.tuples(st.just("claim"), WHICH),
    st.tuples(st.just("append"), CLAIM, SHIFT),
    st.tuples(st.just("renew"), CLAIM),
    st.tuples(st.just("declare"), CLAIM),
    st.tuples(st.just("finish"), CLAIM, SHIFT, st.sampled_from(sorted(TERMINAL_STATES))),
    st.tuples(st.just("release"), CLAIM),
    st.tuples(st.just("cancel"), WHICH),
    st.tuples(st.just("lose"), WHICH),
    st.tuples(st.just("late"), WHICH),
)


class Machine:
    """One broker and the claims made on it so far; the first two are forged, of jobs nobody holds."""

    def __init__(self, queue: Any, bus: Any, lose: Any, late: Any) -> None:
        self.queue, self.bus = queue, bus
        self._lose, self._pass_deadline = lose, late  # `lose`: ends a lease and reaps
        self.claims = [Claim(job, "aria", 0, 1, 0, cancelled=False, queued_ms=0.0) for job in JOBS]

    async def do(self, name: str, *arguments: Any) -> Any:
        step = getattr(self, f"_{name}")(*arguments)
        try:
            return await step
        except (DomainError, IllegalTransition) as error:
            return type(error).__name__

    async def _submit(self, which: int) -> Any:
        accepted = await self.queue.submit(JOBS[which])
        return accepted.stream_id, accepted.duplicate

    async def _claim(self, which: int) -> Any:
        answer: Claim | ClaimRefusal = await self.queue.claim("local", JOBS[which].job_id)
        if isinstance(answer, ClaimRefusal):
            return answer
        self.claims.append(answer)
        declared = answer.verdict.end.finish_reason if answer.verdict else None
        return answer.fence, answer.attempt, answer.last_seq, answer.cancelled, answer.handed_back, declared

    async def _append(self, number: int, shift: int) -> Any:
        claim = self.claims[number % len(self.claims)]
        seq = await self._head(claim) + 1 + shift
        [answer] = await self.bus.append([(claim, Delta(claim.submission.job_id, seq, claim.attempt, f"{seq} "))])
        return AppendResult.OK if answer is AppendResult.DUP and shift == 0 else answer

    async def _renew(self, number: int) -> Any:
        return await self.queue.renew(self.claims[number % len(self.claims)])

    async def _declare(self, number: int) -> Any:
        claim = self.claims[number % len(self.claims)]
        last = replace(end(claim, await self._head(claim) + 1, ""), finish_reason=f"fence {claim.fence}")
        return await self.queue.declare(claim, Verdict(last, 3))

    async def _late(self, which: int) -> Any:
        await self._pass_deadline(which)
        return await self.queue.expire("local", "local", JOBS[which].job_id)

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


class Twice:
    """A script whose first answer is always lost: redis-py runs it again."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def __call__(self, names: Any, args: Any) -> Any:
        await self._script(names, args)
        return await self._script(names, args)


def lose_answers(of: Any) -> None:
    """A reaper's answer that is lost is no matter: what it took comes to the next one when its lease ends."""
    for name, value in vars(of).items():
        if isinstance(value, Script) and name != "_reap":
            setattr(of, name, Twice(value))


def in_redis(redis: Any, url: str) -> Machine:
    bus = RedisStreamBus(redis, url)
    queue = ArqJobQueue(redis, bus)

    async def lose(which: int) -> Any:
        await redis.zadd(keys.RUNNING, {f"local/{JOBS[which].job_id}": 1}, xx=True)
        reaped = await queue.reap()
        return reaped.requeued, reaped.ended

    async def late(which: int) -> None:
        name = keys.job("local", JOBS[which].job_id)
        if await redis.exists(name):
            await redis.hset(name, "deadline_ms", "1")

    return Machine(queue, bus, lose, late)


def in_memory() -> Machine:
    twin = MemoryBroker(SteppedClock())

    async def lose(which: int) -> Any:
        job = twin._jobs.get(("local", JOBS[which].job_id))
        if job is not None and job.lease is not None:
            job.lease = -1.0
        reaped = await twin.reap()
        return reaped.requeued, reaped.ended

    async def late(which: int) -> None:
        job = twin._jobs.get(("local", JOBS[which].job_id))
        if job is not None:
            job.deadline = -1000.0

    return Machine(twin, twin, lose, late)


async def both(url: str, steps: list[tuple[Any, ...]], *, answers_lost: bool = False) -> None:
    redis = connect(url)
    await redis.flushall()
    machines = (in_redis(redis, url), in_memory())
    if answers_lost:
        lose_answers(machines[0].queue)
        lose_answers(machines[0].bus)
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


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=25))
def test_an_answer_that_is_lost_changes_neither_answers_nor_states(
    valkey_url: str, steps: list[tuple[Any, ...]]
) -> None:
    asyncio.run(within_a_minute(both(valkey_url, [("submit", 0), *steps], answers_lost=True)))


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([("claim", 0), ("append", 2, 0), ("release", 2), ("claim", 0)], id="handed back"),
        pytest.param([("claim", 0), ("declare", 2), ("finish", 2, 0, JobState.DONE), ("submit", 0)], id="ended"),
        pytest.param([("claim", 0), ("declare", 2), ("lose", 0), ("cancel", 0), ("claim", 0)], id="whole"),
        pytest.param([("submit", 1), ("submit", 1), ("cancel", 1), ("late", 0)], id="cancelled and late"),
        pytest.param([("claim", 0), ("cancel", 0), ("append", 2, 0)], id="a word into a cancelled reply"),
    ],
)
async def test_every_step_whose_answer_was_lost_is_answered_as_before(
    valkey_url: str, steps: list[tuple[Any, ...]]
) -> None:
    await both(valkey_url, [("submit", 0), *steps], answers_lost=True)


async def within_a_minute(work: Awaitable[None]) -> None:
    async with asyncio.timeout(60):
        await work


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([("claim", 0), ("declare", 2), ("append", 2, 0)], id="no word after the text is whole"),
        pytest.param([("append", 0, 0)], id="no word of a job that waits"),
        pytest.param([("declare", 0)], id="no commit of a job that waits"),
        pytest.param([("finish", 0, 0, JobState.DONE)], id="no reply of a job that waits"),
        pytest.param([("release", 0)], id="nobody hands back what he does not hold"),
    ],
)
async def test_what_the_table_does_not_know_is_refused_and_changes_nothing(
    valkey_url: str, steps: list[tuple[Any, ...]]
) -> None:
    await both(valkey_url, [("submit", 0), *steps])
    redis = connect(valkey_url)
    machine = in_redis(redis, valkey_url)
    before = await machine.state()
    if len(steps) > 1:
        machine.claims += [Claim(JOBS[0], "aria", 1, 1, 0, cancelled=False, queued_ms=0.0)]
    refusals = (AppendResult.ILLEGAL, Declared(AppendResult.ILLEGAL), "IllegalTransition", False)
    assert await machine.do(*steps[-1]) in refusals
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
