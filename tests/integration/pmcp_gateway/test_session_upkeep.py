"""Sessions end after their time without a message, what hangs on them goes with them, and one gateway sees to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import Unavailable
from pmcp_common.redis_link import Script
from pmcp_gateway.sessions_redis import SESSIONS_A_PASS, RedisSessions
from pmcp_gateway.sights_redis import RedisSights
from pmcp_gateway.stores import Session
from pmcp_gateway.talks import Participant, Talk
from pmcp_gateway.talks_redis import RedisTalks

LEASE_SECONDS = 60.0
KEEPER, OTHER_KEEPER = "gateway-1", "gateway-2"


def session(session_id: str) -> Session:
    return Session("local", session_id, "local", "2026-03-01T12:00:00Z")


def talk() -> Talk:
    bard, scholar = Participant("a", "Aria"), Participant("k", "Kira")
    return Talk("local", "conv_1", "local", bard, scholar, "travel", 500, 0, 0)


async def expire(redis: Redis, session_id: str) -> None:
    """As if its time without a message were over."""
    await redis.delete(keys.session("local", session_id))
    await redis.zadd(keys.sessions("local"), {session_id: 0})


async def test_what_hangs_on_an_expired_session_goes_with_it(redis: Redis, valkey_url: str) -> None:
    sessions, sights = RedisSessions(redis, valkey_url), RedisSights(redis, keep_seconds=3600)
    talks = RedisTalks(redis, keep_seconds=3600)
    for name in ("over", "alive"):
        await sessions.save(session(name))
        await sights.put("local", name, "scene", {"place": "harbour"})
        await talks.begin(talk(), name)
    await expire(redis, "over")
    assert await sessions.end_expired("local", KEEPER, LEASE_SECONDS) == ["over"]
    assert await sights.kinds("local", "over") == []
    assert await talks.of_session("local", "over") is None
    assert await sights.kinds("local", "alive") == ["scene"]
    assert await talks.of_session("local", "alive") == "conv_1"
    assert await sessions.end_expired("local", KEEPER, LEASE_SECONDS) == []


async def test_a_living_session_is_looked_at_again_when_its_time_would_end(redis: Redis, valkey_url: str) -> None:
    sessions = RedisSessions(redis, valkey_url, keep_seconds=500)
    await sessions.save(session("alive"))
    await sessions.end_expired("local", KEEPER, LEASE_SECONDS)
    seconds, microseconds = await redis.time()
    due_ms = await redis.zscore(keys.sessions("local"), "alive")
    assert due_ms is not None
    assert 0 <= seconds * 1000 + microseconds / 1000 + 500_000 - due_ms < 5000


async def test_one_gateway_of_many_does_it(redis: Redis, valkey_url: str) -> None:
    sessions = RedisSessions(redis, valkey_url)
    await sessions.save(session("over"))
    assert await sessions.end_expired("local", KEEPER, LEASE_SECONDS) == []
    await expire(redis, "over")
    assert await sessions.end_expired("local", OTHER_KEEPER, LEASE_SECONDS) is None
    assert await sessions.end_expired("local", KEEPER, LEASE_SECONDS) == ["over"]


async def test_another_gateway_takes_over_when_the_lease_ends(redis: Redis, valkey_url: str) -> None:
    sessions = RedisSessions(redis, valkey_url)
    await sessions.end_expired("local", KEEPER, LEASE_SECONDS)
    await redis.delete(keys.SESSIONS_LEASE)  # as its end does
    assert await sessions.end_expired("local", OTHER_KEEPER, LEASE_SECONDS) == []


async def test_more_sessions_than_one_pass_takes_are_all_ended(redis: Redis, valkey_url: str) -> None:
    sessions = RedisSessions(redis, valkey_url)
    many = {f"over-{number}": 0 for number in range(SESSIONS_A_PASS + 3)}
    await redis.zadd(keys.sessions("local"), many)
    assert set(await sessions.end_expired("local", KEEPER, LEASE_SECONDS) or ()) == set(many)
    assert await redis.exists(keys.sessions("local")) == 0


async def test_what_ended_is_told_again_when_the_answer_was_lost_or_its_keeper_died(
    redis: Redis, valkey_url: str
) -> None:
    sessions = RedisSessions(redis, valkey_url)
    await expire(redis, "over")
    names = [keys.sessions("local"), keys.SESSIONS_LEASE, keys.ended_sessions("local")]
    arguments: list[str | int | bytes] = [KEEPER, 60_000, SESSIONS_A_PASS, "local"]
    first = await sessions._expire(names, arguments)
    assert await sessions._expire(names, arguments) == first == [1, 0, [b"over"]]
    await redis.delete(keys.SESSIONS_LEASE)
    assert await sessions.end_expired("local", OTHER_KEEPER, LEASE_SECONDS) == ["over"]
    assert await sessions.end_expired("local", OTHER_KEEPER, LEASE_SECONDS) == []


async def test_what_ended_before_the_broker_went_away_is_told(redis: Redis, valkey_url: str) -> None:
    sessions = RedisSessions(redis, valkey_url)
    await expire(redis, "over")
    sessions._expire = FailsAfter(sessions._expire, 1)  # type: ignore[assignment]
    assert await sessions.end_expired("local", KEEPER, LEASE_SECONDS) == ["over"]


class FailsAfter:
    """A script that is answered so many times, then the broker is away."""

    def __init__(self, script: Script, answers: int) -> None:
        self._script, self._answers = script, answers

    async def __call__(self, names: Sequence[str], arguments: Sequence[str | int | bytes]) -> Any:
        if not self._answers:
            raise Unavailable("The message broker is away")
        self._answers -= 1
        return await self._script(names, arguments)
