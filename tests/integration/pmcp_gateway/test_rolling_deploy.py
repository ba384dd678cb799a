"""Gateways of two releases side by side: what the newer one stored is read by the older one as far as it knows it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson

from pmcp_common.contracts import keys
from pmcp_gateway.interruptions import Interruption
from pmcp_gateway.interruptions_redis import RedisInterruptions
from pmcp_gateway.talks import Participant, Talk
from pmcp_gateway.talks_redis import RedisTalks

NOTED = Interruption("local", "local", "job", "stop", 1)


async def test_an_interruption_a_newer_gateway_noted_is_decided_and_struck(redis: Any) -> None:
    await redis.zadd(keys.INTERRUPTIONS, {orjson.dumps(asdict(NOTED) | {"new": 1}): 0})
    book = RedisInterruptions(redis)
    assert await book.exchange([], 60.0) == [NOTED]
    await book.strike([NOTED])
    assert await redis.zcard(keys.INTERRUPTIONS) == 0


async def test_one_that_cannot_be_read_keeps_no_other_from_being_decided(redis: Any) -> None:
    await redis.zadd(keys.INTERRUPTIONS, {b"{": 0, b'{"tenant":"local"}': 0, orjson.dumps(NOTED): 0})
    assert await RedisInterruptions(redis).exchange([], 60.0) == [NOTED]
    assert await redis.zcard(keys.INTERRUPTIONS) == 1


async def test_a_talk_a_newer_gateway_began_goes_on(redis: Any) -> None:
    talk = Talk("local", "conv_1", "local", Participant("a", "Aria"), Participant("k", "Kira"), "travel", 500, 0, 0)
    stored = asdict(talk) | {"new": 1}
    stored["first"] |= {"new": 1}
    await redis.set(keys.talk("local", "conv_1"), orjson.dumps(stored))
    assert await RedisTalks(redis, keep_seconds=60).get("local", "conv_1") == talk
