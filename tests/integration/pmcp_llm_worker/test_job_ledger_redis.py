"""What the record of accepted jobs takes over from Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from pmcp_common.bus_redis import RedisStreamBus
from pmcp_common.contracts import keys
from pmcp_common.contracts.chat_models import MAX_MESSAGE_BYTES
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
    assert not (await look(redis)).restored
    await RedisJobBacklog(redis, "keeper").restored((await look(redis)).epoch)
    assert (await look(redis)).restored
    await redis.delete(keys.RESTORED)  # as with the last second before a power cut
    assert not (await look(redis)).restored


async def test_a_job_is_left_to_its_gateway_for_a_moment(redis: Redis, queue: ArqJobQueue) -> None:
    await queue.submit(submission())
    backlog = await RedisJobBacklog(redis, "keeper", gateways_ms=60_000).look(64)
    assert backlog is not None
    assert backlog.accepted == []
    assert len((await look(redis)).accepted) == 1


async def test_no_job_leaves_the_record_while_rows_are_owed(redis: Redis) -> None:
    """They may be its own: lost with the spool, they would be lost altogether."""
    await redis.zadd(keys.SETTLED, {"local/one": 1})
    entry = await redis.xadd(keys.SPOOL, {"tenant": "local", "turns": "{}"})
    assert (await look(redis)).settled == []
    await redis.xdel(keys.SPOOL, entry)
    assert [job.job_id for job in (await look(redis)).settled] == ["one"]
