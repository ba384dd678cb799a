"""What the record of accepted jobs takes over from Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from pmcp_common.bus_redis import RedisStreamBus
from pmcp_common.contracts import keys
from pmcp_common.contracts.accepted_jobs import JobName
from pmcp_common.contracts.chat_models import MAX_MESSAGE_BYTES
from pmcp_common.job_record_redis import RedisRecordMarks
from pmcp_common.queue_arq import ArqJobQueue
from pmcp_common.redis_link import connect
from pmcp_llm_worker.job_ledger import Backlog
from pmcp_llm_worker.job_ledger_redis import RedisJobBacklog
from tests.integration.pmcp_common.brokers import submission

CONTROL = "\x01"
"""Six characters in JSON."""


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    client = connect(valkey_url)
    yield client
    await client.aclose()


@pytest.fixture
def queue(redis: Redis, valkey_url: str) -> ArqJobQueue:
    return ArqJobQueue(redis, RedisStreamBus(redis, valkey_url))


async def look(redis: Redis) -> Backlog:
    backlog = await RedisJobBacklog(redis, "keeper", gateways_ms=0).look(64)
    assert backlog is not None
    return backlog


async def test_the_largest_message_a_client_may_send_is_recorded(redis: Redis, queue: ArqJobQueue) -> None:
    largest = submission(
        message=CONTROL * MAX_MESSAGE_BYTES,
        player_id=CONTROL * 200,
        idempotency_key=CONTROL * 200,
        circumstances={"room": CONTROL * 200, "notes": {"told": CONTROL * 8192}},
    )
    await queue.submit(largest)
    assert [job.job_id for job in (await look(redis)).accepted] == [largest.job_id]


async def test_a_job_that_cannot_be_read_is_left_out_and_those_behind_it_are_not(
    redis: Redis, queue: ArqJobQueue
) -> None:
    damaged, whole = submission(player_id="first"), submission(player_id="second")
    for job in (damaged, whole):
        await queue.submit(job)
    await redis.hset(keys.job("local", damaged.job_id), "submission", "{")  # type: ignore[misc]
    assert [job.job_id for job in (await look(redis)).accepted] == [whole.job_id]


async def test_whether_all_is_restored_is_asked_of_redis(redis: Redis) -> None:
    epoch, keeper = (await look(redis)).epoch, RedisJobBacklog(redis, "keeper")
    await keeper.restoring(epoch)
    assert not (await look(redis)).restored
    assert await keeper.restored(epoch)
    assert (await look(redis)).restored
    await redis.delete(keys.RESTORED)  # as with the last second before a power cut
    assert not (await look(redis)).restored


async def test_a_job_is_left_to_its_gateway_for_a_moment(redis: Redis, queue: ArqJobQueue) -> None:
    await queue.submit(submission())
    backlog = await RedisJobBacklog(redis, "keeper", gateways_ms=60_000).look(64)
    assert backlog is not None
    assert backlog.accepted == []
    assert len((await look(redis)).accepted) == 1


async def test_what_was_recorded_while_lost_jobs_were_looked_for_is_looked_for_too(redis: Redis) -> None:
    epoch, keeper = (await look(redis)).epoch, RedisJobBacklog(redis, "keeper")
    await keeper.restoring(epoch)
    await RedisRecordMarks(redis).recorded("an older life", [JobName(tenant="local", job_id="late")])
    assert not await keeper.restored(epoch)
    assert not (await look(redis)).restored


async def test_a_job_leaves_the_record_once_all_rows_are_stored_that_may_be_its_own(redis: Redis) -> None:
    """Lost with the spool, they would be lost altogether. What is owed of later replies holds up nobody."""
    await redis.xadd(keys.SPOOL, {"tenant": "local", "turns": "{}"}, id="5000-0")
    await redis.zadd(
        keys.SETTLED, {"local/owes-nothing": 0, "local/before": 4999, "local/with": 5000, "local/after": 5001}
    )
    assert [job.job_id for job in (await look(redis)).settled] == ["owes-nothing", "before"]
    await redis.xdel(keys.SPOOL, "5000-0")
    assert [job.job_id for job in (await look(redis)).settled] == ["owes-nothing", "before", "with", "after"]
