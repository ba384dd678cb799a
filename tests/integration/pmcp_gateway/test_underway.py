"""What of a player is under way, read from a real Redis: replies in line, replies not remembered yet, messages owed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from pmcp_common.bus_redis import RedisStreamBus
from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import Unavailable
from pmcp_common.contracts.jobs import Submission
from pmcp_common.queue_arq import ArqJobQueue
from pmcp_common.redis_link import BytesRedis, connect
from pmcp_gateway.underway_redis import MAX_LOOKED_AT, RedisUnderway

CONVERSATION = keys.conversation_id("local", "aria", "p1")
OTHER = keys.conversation_id("local", "aria", "p2")


def message(job_id: str, player_id: str = "p1", *, requeued: bool = False) -> Submission:
    return Submission(
        tenant="local",
        principal="local",
        job_id=job_id,
        message_id=f"m-{job_id}",
        user_message_id=f"u-{job_id}",
        session_id="s1",
        player_id=player_id,
        message="Hello",
        token_budget=100,
        streaming=True,
        gateway_id="gw",
        request_id="r1",
        accepted_at_ms=0,
        persona_id="aria",
        persona_name="Aria",
        requeued=requeued,
    )


@dataclass
class Redis:
    client: BytesRedis
    underway: RedisUnderway
    queue: ArqJobQueue

    async def put_job(self, job_id: str, state: str, conversation_id: str = CONVERSATION) -> None:
        fields = {"state": state, "conversation_id": conversation_id}
        client: Any = self.client
        await client.hset(keys.job("local", job_id), mapping=fields)

    async def put_in_line(self, job_id: str, conversation_id: str = CONVERSATION) -> None:
        client: Any = self.client
        await client.rpush(keys.conversation_queue("local", conversation_id), job_id)

    async def owe(self, player_id: str, tenant: str = "local") -> None:
        turns = orjson.dumps({"turns": [{"player_id": player_id}]})
        await self.client.xadd(keys.SPOOL, {"tenant": tenant, "turns": turns})


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    client = connect(valkey_url)
    yield Redis(client, RedisUnderway(client), ArqJobQueue(client, RedisStreamBus(client, valkey_url)))
    await client.aclose()


@pytest.mark.parametrize("state", ["queued", "claimed", "streaming"])
async def test_a_message_in_line_is_a_reply_on_its_way(redis: Redis, state: str) -> None:
    await redis.put_job("j1", state)
    await redis.put_in_line("j1")
    assert await redis.underway.replies("local", [OTHER, CONVERSATION])
    assert not await redis.underway.replies("local", [OTHER])
    assert not await redis.underway.replies("other", [CONVERSATION])


async def test_an_ended_or_expired_reply_is_none(redis: Redis) -> None:
    await redis.put_job("j1", "done")
    await redis.put_in_line("j1")
    await redis.put_in_line("expired")
    assert not await redis.underway.replies("local", [CONVERSATION])
    assert not await redis.underway.replies("local", [])


async def test_what_waits_to_be_remembered_is_an_effect_of_its_conversation(redis: Redis) -> None:
    await redis.put_job("j1", "done")
    await redis.client.zadd(keys.REMEMBER_QUEUE, {"remember:j1": 1, "remember:expired": 2})
    assert await redis.underway.effects("local", [CONVERSATION])
    assert not await redis.underway.effects("local", [OTHER])
    await redis.client.delete(keys.REMEMBER_QUEUE)
    assert not await redis.underway.effects("local", [CONVERSATION])


async def test_messages_owed_to_the_database_are_a_players(redis: Redis) -> None:
    await redis.client.xadd(keys.SPOOL, {"damaged": "entry"})
    await redis.owe("p2")
    await redis.owe("p1", tenant="other")
    assert not await redis.underway.owed("local", "p1")
    await redis.owe("p1")
    assert await redis.underway.owed("local", "p1")


async def test_too_much_to_look_at_may_be_anybodys(redis: Redis) -> None:
    await redis.client.zadd(keys.REMEMBER_QUEUE, {f"remember:{number}": number for number in range(MAX_LOOKED_AT)})
    for _ in range(MAX_LOOKED_AT):
        await redis.owe("p2")
    assert await redis.underway.effects("local", [CONVERSATION])
    assert await redis.underway.owed("local", "p1")


async def test_a_world_is_held_by_one_and_released_by_the_same(redis: Redis) -> None:
    assert await redis.underway.hold("local", "p1", "a")
    assert not await redis.underway.hold("local", "p1", "b")
    assert await redis.underway.hold("local", "p2", "b")
    await redis.underway.release("local", "p1", "b")
    assert not await redis.underway.hold("local", "p1", "b")
    await redis.underway.release("local", "p1", "a")
    assert await redis.underway.hold("local", "p1", "b")
    assert 0 < await redis.client.ttl(keys.world("local", "p1")) <= 180


async def test_a_message_accepted_is_seen_by_a_load_and_none_is_accepted_while_it_runs(redis: Redis) -> None:
    await redis.queue.submit(message("j1"))
    await redis.underway.hold("local", "p1", "load:a")
    assert await redis.underway.replies("local", [CONVERSATION])
    with pytest.raises(Unavailable, match="being loaded"):
        await redis.queue.submit(message("j2"))
    # Those accepted before Redis lost them come in all the same, and so do other players.
    await redis.queue.submit(message("j3", requeued=True))
    await redis.queue.submit(message("j4", "p2"))
    await redis.underway.release("local", "p1", "load:a")
    await redis.underway.hold("local", "p1", "save:a")
    await redis.queue.submit(message("j5"))
