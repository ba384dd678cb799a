"""The spool in Redis: what the memory service does not take stays where an operator finds it, whole and once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from pmcp_common.contracts import keys
from pmcp_common.contracts.memories import CommitTurns, Role
from pmcp_common.redis_link import connect
from pmcp_llm_worker.turn_spool_redis import RedisTurnSpool
from tests.unit.pmcp_llm_worker.doubles import turn

TURNS = CommitTurns(turns=(turn(1, Role.USER, "words"),))


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Any]:
    client = connect(valkey_url)
    yield client
    await client.aclose()


async def test_tries_are_counted_for_all_workers_and_forgotten_with_the_entry(redis: Any) -> None:
    spool, other = RedisTurnSpool(redis), RedisTurnSpool(redis)
    await spool.put("local", TURNS)
    [entry] = await spool.oldest()
    assert (await spool.count_try(entry))[0] == 1
    tries, seconds = await other.count_try(entry)
    assert tries == 2
    assert 0 <= seconds < 5
    await spool.remove(entry)
    assert await redis.hlen(keys.SPOOL_TRIES) == 0


async def test_an_entry_is_set_aside_once_with_the_reason_whoever_does_it(redis: Any) -> None:
    spool = RedisTurnSpool(redis)
    await spool.put("local", TURNS)
    [entry] = await spool.oldest()
    await spool.count_try(entry)
    for _ in range(2):  # another worker, or a lost answer
        await spool.set_aside(entry, "-32603 fault")
    [(_, kept)] = await redis.xrange(keys.SPOOL_REFUSED)
    assert (kept[b"tenant"], kept[b"reason"]) == (b"local", b"-32603 fault")
    assert CommitTurns.model_validate_json(kept[b"turns"]) == TURNS
    assert (await redis.xlen(keys.SPOOL), await redis.hlen(keys.SPOOL_TRIES)) == (0, 0)


async def test_a_conversation_owes_as_long_as_an_entry_of_it_is_there(redis: Any) -> None:
    spool = RedisTurnSpool(redis)
    other = TURNS.turns[0].model_copy(update={"conversation_id": "conv_other"})
    for turns in (TURNS, TURNS, CommitTurns(turns=(other,))):
        await spool.put("local", turns)
    first, second, third = await spool.oldest()
    ours = f"local/{TURNS.turns[0].conversation_id}"
    await spool.remove(first)
    await spool.remove(first)  # another worker, or a lost answer
    assert await redis.hexists(keys.SPOOL_OWED, ours)
    await spool.set_aside(second, "-32603 fault")
    assert await redis.hkeys(keys.SPOOL_OWED) == [b"local/conv_other"]
    await spool.remove(third)
    assert not await redis.exists(keys.SPOOL_OWED)


async def test_turns_of_a_newer_worker_are_read_and_those_nobody_can_read_are_set_aside_as_they_are(
    redis: Any,
) -> None:
    newer = TURNS.model_dump(mode="json") | {"new": 1}
    newer["turns"][0] |= {"new": 1}
    await redis.xadd(keys.SPOOL, {"tenant": "local", "turns": b"{"})
    await redis.xadd(keys.SPOOL, {"tenant": "local", "turns": orjson.dumps(newer), "new": 1})
    [entry] = await RedisTurnSpool(redis).oldest()
    assert entry.turns == TURNS
    [(_, kept)] = await redis.xrange(keys.SPOOL_REFUSED)
    assert (kept[b"turns"], kept[b"reason"]) == (b"{", b"unreadable")
