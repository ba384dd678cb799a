"""A lost socket and the one after it: open, resume, ping, on one gateway and on two, with every wrong credential."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

import pmcp_client
from pmcp_common.bus_redis import RedisStreamBus
from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import SessionReplaced
from pmcp_common.contracts.jobs import Accepted, Submission
from pmcp_common.queue_arq import ArqJobQueue
from pmcp_common.redis_link import connect as connect_redis
from pmcp_gateway.sessions_redis import RedisSessions
from pmcp_gateway.stores import Session

from .conftest import Gateway, Player, Reply, StartGateway, Worker

CHAT = "persona.chat_stream"
HELLO = {"message": "Hello", "persona_id": "Aria"}


@pytest.fixture
async def gateways(start_gateway: StartGateway) -> tuple[Gateway, Gateway]:
    return await start_gateway(), await start_gateway()


def credentials(opened: dict[str, Any]) -> dict[str, Any]:
    return {"session_id": opened["session_id"], "resume_token": opened["resume_token"]}


def position(start: dict[str, Any], last_seq: int) -> dict[str, Any]:
    return {"stream_id": start["stream_id"], "epoch": start["epoch"], "last_seq": last_seq}


async def begin(player: Player, worker: Worker, *said: str, **params: Any) -> tuple[dict[str, Any], Reply]:
    """A stream whose first pieces have arrived."""
    start = (await player.ask(CHAT, {**HELLO, **params}, params.get("player_id", "s")))["result"]
    reply = await worker.take()
    for piece in said:
        await reply.say(piece)
        assert (await player.receive())["result"]["chunk"] == piece
    return start, reply


async def events(player: Player) -> list[dict[str, Any]]:
    """Notifications up to the end of the stream."""
    seen: list[dict[str, Any]] = []
    while not seen or seen[-1]["event_type"] == "stream_chunk":
        frame = await player.receive()
        assert (frame["method"], "id" in frame) == ("stream.event", False)
        seen.append(frame["params"])
    return seen


async def test_open_tells_what_a_client_needs(player: Player, redis: Redis) -> None:
    opened = await player.result("session.open")
    assert len(opened["resume_token"]) >= 43
    assert (opened["gen"], opened["resume_window_s"], opened["limits"]["max_in_flight"]) == (1, 600, 16)
    stored = await redis.hgetall(keys.session("local", opened["session_id"]))  # type: ignore[misc]
    assert stored[b"token"].decode() == hashlib.sha256(opened["resume_token"].encode()).hexdigest()
    assert opened["resume_token"].encode() not in b"".join(stored.values())


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


async def test_the_older_socket_is_closed_also_on_another_gateway(gateways: tuple[Gateway, Gateway]) -> None:
    first, second = gateways
    async with first.player() as one, first.player() as same, second.player() as elsewhere:
        opened = await one.result("session.open")
        again = await same.result("session.resume", credentials(opened))
        assert await one.close_code() == 4011
        await same.result("session.ping")
        last = await elsewhere.result("session.resume", credentials(again))
        assert await same.close_code() == 4011
        assert last["gen"] == 3
        assert (await elsewhere.result("session.ping"))["resumable"] is True


FENCED_CALLS: dict[str, dict[str, Any]] = {
    "persona.chat": HELLO,
    "session.ping": {},
    "session.open": {},
    "persona.switch": {"persona_id": "Aria"},
    "session.clear": {},
    "stream.cancel": {"stream_id": "any"},
    "visual.update": {"visual_context": {"screen": "a map"}},
    "state.load": {},
}


@pytest.mark.parametrize("method", FENCED_CALLS)
async def test_an_older_socket_that_was_not_told_is_refused_and_closed(
    gateways: tuple[Gateway, Gateway], redis: Redis, method: str
) -> None:
    async with gateways[0].player() as player:
        opened = await player.result("session.open")
        await redis.hincrby(keys.session("local", opened["session_id"]), "gen", 1)  # type: ignore[misc]
        before = await redis.hgetall(keys.session("local", opened["session_id"]))  # type: ignore[misc]
        error = (await player.ask(method, FENCED_CALLS[method]))["error"]
        assert error["code"] == -32015
        assert await player.close_code() == 4011
    assert await redis.hgetall(keys.session("local", opened["session_id"])) == before  # type: ignore[misc]


@pytest.mark.parametrize("next_method", ["persona.chat_stream", "session.ping", "session.get_info"])
async def test_what_is_sent_right_behind_an_open_is_not_taken_for_an_older_socket(
    gateway: Gateway, next_method: str
) -> None:
    for _ in range(20):
        async with gateway.player() as player:
            params = HELLO if next_method == CHAT else {}
            for number, (method, given) in enumerate((("session.open", {}), (next_method, params))):
                await player.send({"jsonrpc": "2.0", "id": number, "method": method, "params": given})
            answers = [await player.receive(), await player.receive()]
            assert [(answer["id"], "error" in answer) for answer in answers] == [(0, False), (1, False)]


async def test_the_session_brings_its_persona_along(gateways: tuple[Gateway, Gateway], worker: Worker) -> None:
    async with gateways[0].player() as player:
        opened = await player.result("session.open")
        await player.result("persona.switch", {"persona_id": "aria"})
    async with gateways[1].player() as player:
        resumed = await player.result("session.resume", credentials(opened))
        assert (resumed["active_persona_id"], resumed["active_persona_name"]) == ("id-aria", "Aria")
        start = await player.ask(CHAT, {"message": "Still there?"})
        assert start["result"]["persona_id"] == "id-aria"
        await (await worker.take()).end()


async def test_the_session_a_socket_had_before_a_resume_is_forgotten(gateway: Gateway, redis: Redis) -> None:
    async with gateway.player() as player:
        opened = await player.result("session.open")
    async with gateway.player() as player:
        before = (await player.result("session.get_info"))["session_id"]
        await player.result("session.resume", credentials(opened))
        assert await redis.exists(keys.session("local", before)) == 0
        assert (await player.result("session.get_info"))["session_id"] == opened["session_id"]


async def test_a_token_is_good_for_one_resume_once_the_next_has_arrived(gateway: Gateway) -> None:
    async with gateway.player() as player:
        opened = await player.result("session.open")
    async with gateway.player() as second:
        resumed = await second.result("session.resume", credentials(opened))
        assert resumed["resume_token"] != opened["resume_token"]
        await second.result("session.ping")
        async with gateway.player() as thief:
            assert (await thief.ask("session.resume", credentials(opened)))["error"]["code"] == -32014
            assert await thief.close_code() == 4001
        assert (await second.result("session.ping"))["resumable"] is True


async def test_a_resume_whose_answer_was_lost_can_be_repeated(gateway: Gateway) -> None:
    async with gateway.player() as player:
        opened = await player.result("session.open")
    gens = []
    for _ in range(2):
        async with gateway.player() as player:
            gens.append((await player.result("session.resume", credentials(opened)))["gen"])
    assert gens == [2, 3]


async def test_two_gateways_at_once_the_newest_wins(gateways: tuple[Gateway, Gateway]) -> None:
    async with gateways[0].player() as player:
        opened = await player.result("session.open")
    async with gateways[0].player() as one, gateways[1].player() as two:
        resumes = (player.result("session.resume", credentials(opened)) for player in (one, two))
        answers = await asyncio.gather(*resumes, return_exceptions=True)
        # The older one is closed; its answer may or may not have come before.
        gens = [answer["gen"] if isinstance(answer, dict) else 2 for answer in answers]
        assert sorted(gens) == [2, 3]
        older, newer = (one, two) if gens[0] < gens[1] else (two, one)
        assert await older.close_code() == 4011
        assert (await newer.result("session.ping"))["gen"] == 3


async def test_a_message_on_its_way_while_its_own_socket_is_opened_is_accepted(
    gateway: Gateway, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitting, opened, refused = asyncio.Event(), asyncio.Event(), asyncio.Event()
    submit, open_session = ArqJobQueue.submit, RedisSessions.open

    async def late(queue: ArqJobQueue, submission: Submission) -> Accepted:
        submitting.set()
        await opened.wait()
        try:
            return await submit(queue, submission)
        except SessionReplaced:
            refused.set()
            raise

    async def slow(sessions: RedisSessions, session: Session, token_hash: str, gateway_id: str) -> Session:
        await submitting.wait()
        found = await open_session(sessions, session, token_hash, gateway_id)
        opened.set()
        await refused.wait()
        return found

    monkeypatch.setattr(ArqJobQueue, "submit", late)
    monkeypatch.setattr(RedisSessions, "open", slow)
    for number, (method, params) in enumerate(((CHAT, HELLO), ("session.open", {}))):
        await player.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    answers = {(frame := await player.receive())["id"]: frame for _ in range(2)}
    assert answers[0]["result"]["event_type"] == "stream_start"
    assert answers[1]["result"]["gen"] == 1


async def test_a_socket_that_was_replaced_before_it_knew_its_session_is_closed(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume = RedisSessions.resume

    async def overtaken(
        sessions: RedisSessions, session: Session, leaving: Session, shown: str, token: str, *where: str
    ) -> Session:
        resumed = await resume(sessions, session, leaving, shown, token, *where)
        await resume(sessions, session, leaving, token, "the next", "elsewhere", "another socket")
        return resumed

    async with gateway.player() as player:
        opened = await player.result("session.open")
    monkeypatch.setattr(RedisSessions, "resume", overtaken)
    async with gateway.player() as player:
        await player.send({"jsonrpc": "2.0", "id": 1, "method": "session.resume", "params": credentials(opened)})
        assert await player.close_code() == 4011


@pytest.mark.parametrize(
    ("change", "code", "close"),
    [
        ({"session_id": "unknown"}, -32013, 4009),
        ({"resume_token": "wrong"}, -32014, 4001),
        ({"protocol": 2}, -32602, 4012),
        ({"resume_token": ""}, -32602, None),
        ({"streams": [{"stream_id": "x", "epoch": "e", "last_seq": -1}]}, -32602, None),
        ({"streams": [{"stream_id": "x", "epoch": "e", "last_seq": "3"}]}, -32602, None),
        ({"streams": [{"stream_id": "x", "epoch": "e", "last_seq": 2**63}]}, -32602, None),
        ({"streams": [{"stream_id": "x", "last_seq": 0}]}, -32602, None),
        ({"streams": "all"}, -32602, None),
        ({"streams": [{"stream_id": "x", "epoch": "e", "last_seq": 0}] * 65}, -32602, None),
        ({"inflight": [""]}, -32602, None),
    ],
)
async def test_a_wrong_resume_is_told_what_is_wrong(
    gateway: Gateway, change: dict[str, Any], code: int, close: int | None
) -> None:
    async with gateway.player() as player, gateway.player() as other:
        opened = await player.result("session.open")
        error = (await other.ask("session.resume", {**credentials(opened), **change}))["error"]
        assert error["code"] == code
        if close is not None:
            assert await other.close_code() == close
        else:
            assert (await other.result("session.get_info"))["session_id"] != opened["session_id"]


async def test_a_session_that_was_never_opened_cannot_be_taken_over(gateway: Gateway) -> None:
    async with gateway.player() as player, gateway.player() as other:
        session_id = (await player.result("session.get_info"))["session_id"]
        error = (await other.ask("session.resume", {"session_id": session_id, "resume_token": "x"}))["error"]
        assert error["code"] == -32014


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
