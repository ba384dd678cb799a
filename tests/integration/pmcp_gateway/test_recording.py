"""What the first frame says of the record of accepted jobs, and what the record costs the reply: nothing."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, cast

from redis.asyncio import Redis

from pmcp_common.contracts import keys
from pmcp_common.testing.waiting import until

from .conftest import Peers, Player, Worker

CHAT = "persona.chat_stream"
HELLO = {"message": "Hello", "persona_id": "Aria"}


async def is_unrecorded(redis: Redis, job_id: str) -> bool:
    return await redis.zscore(keys.UNRECORDED, f"local/{job_id}") is not None


async def mark(redis: Redis, job_id: str) -> Any:
    return await cast(Awaitable[Any], redis.hget(keys.job("local", job_id), "recorded"))


async def test_a_message_that_is_in_the_record_says_that_it_is_durable(
    peers: Peers, player: Player, redis: Redis
) -> None:
    start = (await player.ask(CHAT, HELLO))["result"]
    assert start["durability"] == "durable"
    assert peers.recorded == [start["stream_id"]]
    assert await mark(redis, start["stream_id"]) == b"1"
    assert not await is_unrecorded(redis, start["stream_id"])


async def test_a_reply_does_not_wait_for_the_record(peers: Peers, player: Player, worker: Worker) -> None:
    peers.may_record.clear()
    await player.send({"jsonrpc": "2.0", "id": 1, "method": CHAT, "params": HELLO})
    reply = await worker.take()
    await reply.say("At once")
    start, chunk = (await player.receive())["result"], (await player.receive())["result"]
    assert (start["durability"], chunk["chunk"]) == ("volatile", "At once")
    assert peers.recorded == []
    peers.may_record.set()
    await reply.end()


async def test_a_job_that_ended_before_it_was_recorded_leaves_the_record_again(
    peers: Peers, player: Player, worker: Worker, redis: Redis
) -> None:
    peers.may_record.clear()
    await player.send({"jsonrpc": "2.0", "id": 1, "method": CHAT, "params": HELLO})
    reply = await worker.take()
    await reply.say("At once")
    end = await reply.end()
    peers.may_record.set()
    await until(lambda: _is_settled(redis, end.stream_id))
    assert peers.recorded == [end.stream_id]


async def test_a_message_whose_reply_comes_whole_is_recorded_too(peers: Peers, player: Player, worker: Worker) -> None:
    await player.send({"jsonrpc": "2.0", "id": 1, "method": "persona.chat", "params": HELLO})
    reply = await worker.take()
    await until(lambda: _has(peers, reply.claim.submission.job_id))
    await reply.say("Well met")
    await reply.end()
    assert (await player.receive())["result"]["response"] == "Well met"


async def test_without_the_memory_service_messages_are_accepted_as_volatile(
    peers: Peers, player: Player, redis: Redis
) -> None:
    await player.ask("persona.switch", {"persona_id": "Aria"})
    peers.away = True
    start = (await player.ask(CHAT, {"message": "Hello"}))["result"]
    assert start["durability"] == "volatile"
    assert await is_unrecorded(redis, start["stream_id"])  # for the keeper of the record


async def test_a_repeated_message_says_what_became_of_the_first(peers: Peers, player: Player) -> None:
    repeated = {**HELLO, "idempotency_key": "one", "player_id": "ann"}
    first = (await player.ask(CHAT, repeated, "a"))["result"]
    second = (await player.ask(CHAT, repeated, "b"))["result"]
    assert (second["stream_id"], second["durability"]) == (first["stream_id"], "durable")
    assert peers.recorded == [first["stream_id"]]


async def test_a_job_recorded_after_its_data_was_lost_makes_the_keeper_look_again(
    peers: Peers, player: Player, redis: Redis
) -> None:
    """Else the record, looked through before it came, would hold a job that nobody queues again."""
    peers.may_record.clear()
    await player.ask(CHAT, HELLO)
    await redis.flushall()
    await redis.set(keys.EPOCH, "another life")
    await redis.set(keys.RESTORED, "another life")
    peers.may_record.set()
    await until(lambda: _is_missing(redis, keys.RESTORED))
    assert len(peers.recorded) == 1


async def _has(peers: Peers, job_id: str) -> bool:
    return job_id in peers.recorded


async def _is_missing(redis: Redis, key: str) -> bool:
    return bool(await redis.exists(key) == 0)


async def _is_settled(redis: Redis, job_id: str) -> bool:
    return await redis.zscore(keys.SETTLED, f"local/{job_id}") is not None
