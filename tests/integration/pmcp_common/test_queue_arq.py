"""What only Redis can lose, and what only it keeps: a conversation's first turn, entries of queues and of the spool."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from pmcp_common.bus_redis import RedisStreamBus
from pmcp_common.contracts import keys
from pmcp_common.contracts.ends import end_without_model
from pmcp_common.contracts.errors import Unavailable
from pmcp_common.contracts.jobs import Claim, Delta, JobState, Submission, Verdict
from pmcp_common.contracts.memories import CommitTurns
from pmcp_common.queue_arq import ArqJobQueue, job_of
from pmcp_common.redis_link import connect
from pmcp_common.testing.waiting import until
from tests.integration.pmcp_common.brokers import submission


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    client = connect(valkey_url)
    yield client
    await client.aclose()


@pytest.fixture
def queue(redis: Redis, valkey_url: str) -> ArqJobQueue:
    return ArqJobQueue(redis, RedisStreamBus(redis, valkey_url))


async def announced(redis: Redis) -> list[str]:
    entries = await redis.lrange(keys.wake(keys.REPLY_QUEUE), 0, -1)  # type: ignore[misc]
    return [job_of(entry.decode())[1] for entry in entries]


async def two_of_a_conversation_whose_first_vanished(redis: Redis, queue: ArqJobQueue) -> Submission:
    first, second = submission(), submission()
    for job in (first, second):
        await queue.submit(job)
    await redis.delete(keys.job("local", first.job_id))
    assert await announced(redis) == [first.job_id]
    return second


async def test_a_turn_behind_one_that_vanished_runs_when_the_next_message_comes(
    redis: Redis, queue: ArqJobQueue
) -> None:
    waiting = await two_of_a_conversation_whose_first_vanished(redis, queue)
    await queue.submit(submission())
    assert (await announced(redis))[1:] == [waiting.job_id]


async def test_a_turn_behind_one_that_vanished_is_found_by_the_reaper(redis: Redis, queue: ArqJobQueue) -> None:
    waiting = await two_of_a_conversation_whose_first_vanished(redis, queue)
    await redis.zadd(keys.RUNNING, {f"local/{waiting.job_id}": 1})
    await queue.reap()
    assert (await announced(redis))[1:] == [waiting.job_id]
    assert isinstance(await queue.claim("local", waiting.job_id), Claim)


async def test_an_entry_that_leads_nowhere_leaves_the_queue(redis: Redis, queue: ArqJobQueue) -> None:
    await queue.submit(job := submission())
    ticket = f"local/{job.job_id}:1"
    await redis.delete(keys.job("local", job.job_id))
    assert await redis.zscore(keys.REPLY_QUEUE, ticket) is not None
    await queue.claim("local", job.job_id, ticket)
    assert await redis.zcard(keys.REPLY_QUEUE) == 0


async def test_the_reaper_knows_when_to_look_again(redis: Redis, queue: ArqJobQueue) -> None:
    assert (await queue.reap()).next_seconds is None
    await queue.submit(submission(deadline_ms=700))
    await queue.submit(submission(deadline_ms=300))  # behind the first
    soon = (await queue.reap()).next_seconds
    assert soon is not None
    assert 0 < soon <= 0.3


async def test_what_a_player_sees_comes_with_the_claim(redis: Redis, queue: ArqJobQueue) -> None:
    await redis.hset(keys.sights("local", "session-1"), "scene", '{"place":"a hall"}')  # type: ignore[misc]
    await queue.submit(job := submission())
    claim = await queue.claim("local", job.job_id)
    assert isinstance(claim, Claim)
    assert claim.sights == {"scene": {"place": "a hall"}}


async def test_a_repeated_message_waits_for_the_restoration_whatever_else_was_accepted(
    redis: Redis, queue: ArqJobQueue
) -> None:
    said = {"idempotency_key": "key-1", "body_hash": "body"}
    await queue.submit(submission(**said))
    await redis.flushdb()
    await queue.submit(submission(player_id="somebody else"))
    with pytest.raises(Unavailable):
        await queue.submit(submission(**said))
    await redis.set(keys.RESTORED, await redis.get(keys.EPOCH))
    assert not (await queue.submit(submission(**said))).duplicate


async def test_a_job_that_cannot_be_read_keeps_the_reaper_from_no_other(redis: Redis, queue: ArqJobQueue) -> None:
    damaged, late = submission(player_id="first"), submission(player_id="second")
    for score, job in enumerate((damaged, late), start=1):
        await queue.submit(job)
        await redis.hset(keys.job("local", job.job_id), "deadline_ms", "1")  # type: ignore[misc]
        await redis.zadd(keys.RUNNING, {f"local/{job.job_id}": score})
    await redis.hset(keys.job("local", damaged.job_id), "submission", '{"tenant": "local"}')  # type: ignore[misc]
    await queue.reap()
    assert await redis.hget(keys.job("local", late.job_id), "state") == b"failed"  # type: ignore[misc]


async def owed(redis: Redis) -> list[tuple[str, str, str]]:
    """Role, text and state of the rows in the spool."""
    entries = [CommitTurns.model_validate_json(fields[b"turns"]) for _, fields in await redis.xrange(keys.SPOOL)]
    return [(turn.role, turn.content, turn.metadata.get("state", "")) for entry in entries for turn in entry.turns]


async def test_a_message_no_worker_answered_in_time_is_kept(redis: Redis, queue: ArqJobQueue) -> None:
    await queue.submit(job := submission(message="Are you there?", deadline_ms=1))
    await until(lambda: expired(queue, job))
    assert await owed(redis) == [("user", "Are you there?", "")]


async def test_what_was_shown_of_a_reply_that_is_given_up_is_kept(redis: Redis, queue: ArqJobQueue) -> None:
    await queue.submit(job := submission(message="Are you there?", deadline_ms=60_000))
    claim = await queue.claim("local", job.job_id)
    assert isinstance(claim, Claim)
    await RedisStreamBus(redis, "").append([(claim, Delta(job.job_id, 1, 1, "I am "))])
    await redis.hset(keys.job("local", job.job_id), mapping={"deadline_ms": 1, "state": "queued"})  # type: ignore[misc]
    await until(lambda: expired(queue, job))
    assert await owed(redis) == [("user", "Are you there?", ""), ("assistant", "I am ", "done")]


async def test_of_a_cancelled_reply_what_was_heard_is_kept(redis: Redis, queue: ArqJobQueue) -> None:
    await queue.submit(job := submission(message="Are you there?"))
    claim = await queue.claim("local", job.job_id)
    assert isinstance(claim, Claim)
    await RedisStreamBus(redis, "").append([(claim, Delta(job.job_id, 1, 1, "I am here"))])
    assert await queue.release(claim)
    assert await queue.cancel("local", "local", job.job_id, heard_chars=4) == "cancelled"
    assert await owed(redis) == [("user", "Are you there?", ""), ("assistant", "I am", "cancelled")]


async def test_of_a_reply_whose_worker_died_when_it_was_cancelled_only_what_was_heard_is_kept(
    redis: Redis, queue: ArqJobQueue
) -> None:
    await queue.submit(job := submission(message="Are you there?", deadline_ms=60_000))
    claim = await queue.claim("local", job.job_id)
    assert isinstance(claim, Claim)
    await RedisStreamBus(redis, "").append([(claim, Delta(job.job_id, 1, 1, "I am here"))])
    assert await queue.cancel("local", "local", job.job_id, heard_chars=4) == "cancelling"
    await redis.hset(keys.job("local", job.job_id), "deadline_ms", "1")  # type: ignore[misc]
    await redis.zadd(keys.RUNNING, {f"local/{job.job_id}": 1})
    await queue.reap()
    assert await owed(redis) == [("user", "Are you there?", ""), ("assistant", "I am", "cancelled")]


async def test_only_what_is_said_in_the_same_conversation_waits_behind_rows_that_are_owed(
    redis: Redis, queue: ArqJobQueue
) -> None:
    await queue.submit(late := submission(player_id="ann", deadline_ms=1))
    await until(lambda: expired(queue, late))
    for player, waits in (("ann", True), ("bob", False)):
        await queue.submit(job := submission(player_id=player))
        claim = await queue.claim("local", job.job_id)
        assert isinstance(claim, Claim)
        end = end_without_model(claim, "", state=JobState.DONE, finish_reason="stop")
        assert (await queue.declare(claim, Verdict(end))).others_owed is waits


async def test_a_message_taken_back_before_it_was_answered_is_not_kept(redis: Redis, queue: ArqJobQueue) -> None:
    await queue.submit(job := submission())
    assert await queue.cancel("local", "local", job.job_id) == "cancelled"
    assert await owed(redis) == []


async def expired(queue: ArqJobQueue, job: Submission) -> bool:
    return await queue.expire("local", "local", job.job_id) == 0
