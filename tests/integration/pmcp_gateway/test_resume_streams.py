"""Streams after a lost socket: recovered whole or not at all, on one gateway and on two."""

from __future__ import annotations

import asyncio
import hashlib
import itertools

from redis.asyncio import Redis

import pmcp_client

from .conftest import Gateway, Player, Worker
from .resuming import CHAT, HELLO, begin, credentials, events, position


async def test_a_stream_goes_on_through_another_gateway_first_what_was_missed_then_live(
    gateways: tuple[Gateway, Gateway], worker: Worker
) -> None:
    first, second = gateways
    async with first.player() as player:
        opened = await player.result("session.open")
        start, reply = await begin(player, worker, "one ", "two ")
    await reply.say("three ")
    async with second.player() as other:
        asked = {**credentials(opened), "streams": [position(start, 1)]}
        resumed = await other.result("session.resume", asked)
        assert (resumed["session_id"], resumed["gen"]) == (opened["session_id"], 2)
        (stream,) = resumed["streams"]
        assert (stream["recovered"], stream["reason"], stream["head_seq"]) == (True, None, 3)
        await reply.say("four")
        await reply.end()
        seen = await events(other)
        covered = [(event.get("first_seq", event["seq"]), event["seq"]) for event in seen]
        assert covered[0][0] == 2
        assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(covered))
        text = "one " + "".join(event.get("chunk", "") for event in seen)
        assert seen[-1]["sha256"] == hashlib.sha256(text.encode()).hexdigest()
        assert seen[-2]["data"]["total_length"] == len(text)


async def test_live_events_reach_the_new_gateway_without_waiting_for_a_look(
    gateways: tuple[Gateway, Gateway], worker: Worker, redis: Redis
) -> None:
    first, second = gateways
    async with first.player() as player, second.player() as other:
        opened = await player.result("session.open")
        start, reply = await begin(player, worker, "one ")
        before = await redis.hget(f"pmcp:{{local/{start['stream_id']}}}:job", "gateway")  # type: ignore[misc]
        await other.result("session.resume", {**credentials(opened), "streams": [position(start, 1)]})
        after = await redis.hget(f"pmcp:{{local/{start['stream_id']}}}:job", "gateway")  # type: ignore[misc]
        assert before != after
        async with asyncio.timeout(0.5):
            await reply.say("two")
            assert (await other.receive())["params"]["chunk"] == "two"
        await reply.end()


async def test_each_stream_is_recovered_whole_or_not_at_all_with_the_reason(
    gateway: Gateway, worker: Worker, redis: Redis
) -> None:
    async with gateway.player() as player:
        opened = await player.result("session.open")
        gone, gone_reply = await begin(player, worker, "x", player_id="a")
        gap, gap_reply = await begin(player, worker, "x", "y", player_id="b")
        whole, _ = await begin(player, worker, "x", player_id="c")
        await gone_reply.end()
        await gap_reply.end()
    await redis.delete(f"pmcp:{{local/{gone['stream_id']}}}:tok")
    await redis.xdel(f"pmcp:{{local/{gap['stream_id']}}}:tok", "1-0")
    streams = [
        position(gone, 1),
        position(gap, 1),
        position(whole, 5),
        {**position(whole, 1), "epoch": "before"},
        {**position(whole, 0), "stream_id": "foreign"},
        position(whole, 1),
    ]
    async with gateway.player() as player:
        resumed = await player.result("session.resume", {**credentials(opened), "streams": streams})
    assert [entry["reason"] for entry in resumed["streams"]] == [
        "expired",
        "gap",
        "ahead",
        "epoch_changed",
        "not_resumable",
        None,
    ]
    assert [entry["recovered"] for entry in resumed["streams"]] == [False] * 5 + [True]


async def test_a_stream_of_another_principal_is_as_good_as_unknown(
    gateway: Gateway, worker: Worker, redis: Redis
) -> None:
    async with gateway.player() as player:
        opened = await player.result("session.open")
        start, _ = await begin(player, worker, "x")
    await redis.hset(f"pmcp:{{local/{start['stream_id']}}}:job", "principal", "somebody")  # type: ignore[misc]
    async with gateway.player() as player:
        resumed = await player.result("session.resume", {**credentials(opened), "streams": [position(start, 1)]})
        assert resumed["streams"][0]["reason"] == "not_resumable"
        for method, more in (("stream.cancel", {"heard_chars": 1}), ("stream.read", {})):
            error = (await player.ask(method, {"stream_id": start["stream_id"], **more}))["error"]
            assert error["code"] == -32006


async def test_a_stream_that_ended_meanwhile_is_told_to_its_end(gateway: Gateway, worker: Worker) -> None:
    async with gateway.player() as player:
        opened = await player.result("session.open")
        start, reply = await begin(player, worker, "Well ")
    await reply.say("met")
    await reply.end("failed", (-32003, "The model stopped answering"))
    async with gateway.player() as player:
        await player.result("session.resume", {**credentials(opened), "streams": [position(start, 1)]})
        seen = await events(player)
        assert [event["event_type"] for event in seen] == ["stream_chunk", "stream_error"]
        assert seen[-1]["error"]["data"]["error"] == "llm_error: The model stopped answering"
        assert (await player.result("session.ping", {"heads": {start["stream_id"]: 3}}))["heads"] == {}


async def test_keys_of_messages_in_flight_are_told_their_fate(gateway: Gateway) -> None:
    async with gateway.player() as player:
        opened = await player.result("session.open")
        start = (await player.ask(CHAT, {**HELLO, "idempotency_key": "k1"}))["result"]
    async with gateway.player() as player:
        resumed = await player.result("session.resume", {**credentials(opened), "inflight": ["k0", "k1"]})
        unknown, accepted = resumed["inflight"]
        assert (unknown["status"], unknown["stream_id"]) == ("unknown", None)
        assert (accepted["status"], accepted["stream_id"]) == ("accepted", start["stream_id"])
        assert accepted["message_id"] == start["message_id"]


async def test_a_ping_compares_positions(player: Player, worker: Worker) -> None:
    start, reply = await begin(player, worker, "one ", "two")
    asked = {"heads": {start["stream_id"]: 1, "other": 3}}
    told = await player.result("session.ping", asked)
    assert (told["heads"], told["behind"]) == ({start["stream_id"]: 2}, ["other"])
    assert (told["gen"], told["resumable"]) == (0, False)
    await reply.end()


async def test_a_message_repeated_after_its_stream_was_forgotten_is_not_answered_twice(
    gateway: Gateway, worker: Worker, redis: Redis
) -> None:
    async with gateway.player() as player:
        params = {**HELLO, "idempotency_key": "once"}
        start = (await player.ask(CHAT, params))["result"]
        await (await worker.take()).end()
        await player.receive()
        stream = start["stream_id"]
        await redis.delete(f"pmcp:{{local/{stream}}}:job", f"pmcp:{{local/{stream}}}:tok")
        error = (await player.ask(CHAT, params))["error"]
        assert (error["code"], error["data"]["reason"]) == (-32009, "not_resumable")
        assert error["data"]["stream_id"] == stream


async def test_past_the_resume_window_nothing_is_left_and_nothing_is_made_again(
    gateways: tuple[Gateway, Gateway], worker: Worker, redis: Redis
) -> None:
    first, second = gateways
    async with first.player() as player:
        opened = await player.result("session.open")
        start, reply = await begin(player, worker, "one ", idempotency_key="once")
    await reply.end()
    kept = [f"pmcp:{{local/{start['stream_id']}}}:{part}" for part in ("job", "tok")]
    for name in kept:
        assert 0 < await redis.ttl(name) <= opened["resume_window_s"]
        await redis.expire(name, 0)
    async with second.player() as late:
        asked = {**credentials(opened), "streams": [position(start, 1)], "inflight": ["once"]}
        resumed = await late.result("session.resume", asked)
        (stream,) = resumed["streams"]
        assert (stream["recovered"], stream["reason"]) == (False, "not_resumable")
        for method in ("stream.read", "stream.cancel"):
            assert (await late.ask(method, {"stream_id": start["stream_id"]}))["error"]["code"] == -32006
        repeated = (await late.ask(CHAT, {**HELLO, "idempotency_key": "once"}))["error"]
        assert (repeated["code"], repeated["data"]["reason"]) == (-32009, "not_resumable")
    assert await redis.keys("pmcp:{*:job") == []


async def test_a_ping_tells_nothing_of_streams_that_are_not_this_sockets(
    gateway: Gateway, player: Player, worker: Worker, redis: Redis
) -> None:
    async with gateway.player() as other:
        start, _ = await begin(other, worker, "one ")
        foreign, _ = await begin(other, worker, "two ", player_id="b")
        await redis.hset(f"pmcp:{{local/{foreign['stream_id']}}}:job", "principal", "somebody")  # type: ignore[misc]
        heads = {start["stream_id"]: 0, foreign["stream_id"]: 0, "unheard-of": 2**53}
        told = await player.result("session.ping", {"heads": heads})
        assert (told["heads"], told["behind"]) == ({}, list(heads))
        assert set((await other.result("session.ping"))["heads"]) == {start["stream_id"], foreign["stream_id"]}


async def test_the_client_library_goes_on_when_its_socket_is_replaced(
    gateways: tuple[Gateway, Gateway], worker: Worker
) -> None:
    urls = [gateway.url for gateway in gateways]
    async with pmcp_client.connect(urls, player_id="ann", reconnect=pmcp_client.Reconnect(0, 0.1)) as client:
        await client.call("persona.switch", {"persona_id": "Aria"})
        stream = await client.stream(CHAT, {"message": "Hello"})
        reply = await worker.take()
        pieces = aiter(stream)
        for piece in ("one ", "two ", "three "):
            await reply.say(piece)
            async with asyncio.timeout(5):
                assert await anext(pieces) == piece
            client._distrust("the test says so")
        await reply.end()
        async with asyncio.timeout(5):
            assert [piece async for piece in pieces] == []
        assert (await client.call("session.get_info"))["active_persona_name"] == "Aria"
