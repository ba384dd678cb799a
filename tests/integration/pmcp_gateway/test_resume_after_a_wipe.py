"""Sessions and streams when Redis has lost its data."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from pydantic import SecretStr
from redis.asyncio import Redis

import pmcp_client
from pmcp_common.bus_redis import RedisStreamBus
from pmcp_common.contracts import keys
from pmcp_common.queue_arq import ArqJobQueue
from pmcp_common.redis_link import connect as connect_redis

from .conftest import Gateway, StartGateway, Worker
from .resuming import CHAT, HELLO, begin, credentials


async def test_after_a_wipe_a_session_is_expired_and_a_ping_says_so(gateway: Gateway, redis: Redis) -> None:
    async with gateway.player() as player, gateway.player() as other:
        opened = await player.result("session.open")
        await redis.flushall()
        assert (await player.result("session.ping"))["resumable"] is False
        assert (await other.ask("session.resume", credentials(opened)))["error"]["code"] == -32013
        assert await other.close_code() == 4009
        again = await player.result("session.open")
        assert (again["session_id"], again["gen"]) == (opened["session_id"], opened["gen"] + 1)


async def test_after_a_wipe_the_newest_socket_of_a_session_still_speaks_for_it(gateway: Gateway, redis: Redis) -> None:
    async with gateway.player() as older, gateway.player() as newer:
        opened = await older.result("session.open")
        name = keys.session("local", opened["session_id"])
        await newer.result("session.resume", credentials(opened))
        assert await older.close_code() == 4011
        await redis.flushall()
        again = await newer.result("session.open")
        assert again["gen"] == 3
        assert int(await redis.hget(name, "gen")) == 3  # type: ignore[misc]


async def test_the_client_library_outlives_a_wipe_and_its_reply_begins_anew(
    start_gateway: StartGateway, own_valkey: tuple[Any, str]
) -> None:
    """Nobody keeps a ledger here: the message comes again by the client's own hand."""
    _, url = own_valkey
    gateway = await start_gateway(redis_url=SecretStr(url))
    redis = connect_redis(url)
    async with pmcp_client.connect(gateway.url, reconnect=pmcp_client.Reconnect(0, 0.1)) as client:
        await client.call("persona.switch", {"persona_id": "Aria"})
        stream = await client.stream(CHAT, {"message": "Hello"})
        assert stream.start["durability"] == "durable"
        worker = Worker(redis, url)
        reply = await worker.take()
        await reply.say("old")
        pieces = aiter(stream)
        async with asyncio.timeout(5):
            assert await anext(pieces) == "old"
            await redis.flushall()
            client._distrust("the test says so")
            # Until the keeper of the ledger has said that nothing more will come back, the key is refused.
            await redis.set(keys.EPOCH, "another life")
            await redis.set(keys.RESTORED, "another life")
            reply = await worker.take()
            await reply.say("new")
            await reply.end()
            rest = [piece async for piece in pieces]
        assert [isinstance(piece, pmcp_client.Restarted) for piece in rest] == [True, False]
        assert rest[1] == "new"
        assert stream.epoch == "another life"
        assert stream.start["data"]["persona_name"] == "Aria"
    await redis.aclose()


async def test_a_repeated_message_waits_until_what_was_lost_is_queued_again(gateway: Gateway, redis: Redis) -> None:
    message = {**HELLO, "player_id": "ann"}
    async with gateway.player() as player:
        await player.ask(CHAT, {**message, "idempotency_key": "one"}, "a")
        await redis.flushall()
        refused = await player.ask(CHAT, {**message, "idempotency_key": "one"}, "b")
        assert (refused["error"]["code"], refused["error"]["data"]["retry_after"]) == (-32007, 1.0)
        await redis.set(keys.RESTORED, await redis.get(keys.EPOCH))
        accepted = await player.ask(CHAT, {**message, "idempotency_key": "one"}, "c")
        assert accepted["result"]["event_type"] == "stream_start"


async def test_a_client_on_a_living_socket_hears_a_lost_reply_from_its_beginning(
    gateway: Gateway, worker: Worker, redis: Redis
) -> None:
    async with gateway.player() as player:
        start, reply = await begin(player, worker, "old ", "text")
        submission = replace(reply.claim.submission, requeued=True, session_gen=2**31)
        await redis.flushall()
        queue = ArqJobQueue(redis, RedisStreamBus(redis, ""))
        await queue.submit(submission)
        again = await worker.take()
        assert again.claim.fence > reply.claim.fence
        await reply.say_in_vain("of the old life")
        for piece in ("new ", "text ", "here"):
            await again.say(piece)
        await again.end()
        frames = [(await player.receive())["result"] for _ in range(2)]
        while frames[-1]["event_type"] == "stream_chunk":
            frames.append((await player.receive())["result"])
    anew, *chunks, end = frames
    assert (anew["event_type"], anew["stream_id"], anew["seq"]) == ("stream_start", start["stream_id"], 0)
    assert (anew["recovered"], anew["reason"]) == (False, "epoch_changed")
    assert {frame["epoch"] for frame in frames} == {anew["epoch"]} != {start["epoch"]}
    assert "".join(chunk["chunk"] for chunk in chunks) == end["full_response"] == "new text here"
