"""A player, a gateway and a worker: what a conversation looks like on the wire."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from redis.asyncio import Redis

import pmcp_client
from pmcp_common.contracts import keys

from .conftest import Gateway, Peers, Player, StartGateway, Worker

CHAT = "persona.chat_stream"


@pytest.fixture
async def with_aria(player: Player) -> Player:
    await player.result("persona.switch", {"persona_id": "aria"})
    return player


async def test_switch_accepts_a_name_in_any_case_and_is_kept_in_redis(player: Player, redis: Redis) -> None:
    result = await player.result("persona.switch", {"persona_id": "ARIA"})
    assert (result["persona_id"], result["name"], result["status"]) == ("id-aria", "Aria", "active")
    stored = await redis.hgetall(keys.session("local", result["session_id"]))  # type: ignore[misc]
    assert stored[b"persona_id"] == b"id-aria"
    info = await player.result("session.get_info")
    assert (info["session_id"], info["active_persona_name"]) == (result["session_id"], "Aria")


async def test_nobody_need_wait_for_the_answer_to_a_switch(player: Player) -> None:
    for number, (method, params) in enumerate(
        [("persona.switch", {"persona_id": "aria"}), ("persona.status", {}), ("session.ping", {})]
    ):
        await player.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    answers = {answer["id"]: answer for answer in [await player.receive() for _ in range(3)]}
    assert answers[1]["result"]["persona"]["name"] == "Aria"
    assert "result" in answers[2]


async def test_a_refused_switch_holds_nothing_up(player: Player) -> None:
    await player.send({"jsonrpc": "2.0", "id": "a", "method": "persona.switch", "params": {"persona_id": "Kira"}})
    await player.send({"jsonrpc": "2.0", "method": "persona.switch", "params": {"persona_id": "aria"}})
    await player.send({"jsonrpc": "2.0", "id": "b", "method": "session.get_info"})
    assert (await player.receive())["error"]["code"] == -32004
    assert (await player.receive())["result"]["active_persona_name"] == "Aria"


async def test_a_resting_persona_cannot_be_chosen(player: Player) -> None:
    error = (await player.ask("persona.switch", {"persona_id": "Kira"}))["error"]
    assert error["code"] == -32004
    assert error["message"] == "Persona Kira is not available for interaction"
    assert error["data"]["cooldown_remaining"] == 42


async def test_a_stream_starts_runs_and_ends_once(with_aria: Player, worker: Worker) -> None:
    await with_aria.send({"jsonrpc": "2.0", "id": 7, "method": CHAT, "params": {"message": "Hello"}})
    start = await with_aria.receive()
    assert start["id"] == 7
    assert start["result"]["event_type"] == "stream_start"
    assert start["result"]["data"]["message"] == "Hello"
    reply = await worker.take()
    assert reply.claim.submission.message == "Hello"
    await reply.say("Well ")
    first = (await with_aria.receive())["result"]
    assert (first["chunk"], first["seq"], first["data"]["chunk_number"]) == ("Well ", 1, 1)
    await reply.say("met")
    second = (await with_aria.receive())["result"]
    assert (second["chunk"], second["seq"], second["data"]["total_length"]) == ("met", 2, 8)
    await reply.end()
    last = await with_aria.receive()
    assert last["result"]["event_type"] == "stream_complete"
    assert last["result"]["full_response"] == "Well met"
    assert last["result"]["sha256"] == hashlib.sha256(b"Well met").hexdigest()
    assert last["result"]["seq"] == 3
    assert "error" not in last


async def test_a_stream_blocks_nothing(with_aria: Player, worker: Worker) -> None:
    await with_aria.send({"jsonrpc": "2.0", "id": "s", "method": CHAT, "params": {"message": "Hello"}})
    await with_aria.receive()
    reply = await worker.take()
    listed = await with_aria.result("persona.list")
    assert (listed["total_count"], listed["available_count"]) == (2, 1)
    await reply.end()
    assert (await with_aria.receive())["result"]["event_type"] == "stream_complete"


async def test_chat_answers_with_the_whole_reply(with_aria: Player, worker: Worker) -> None:
    asked = asyncio.create_task(with_aria.result("persona.chat", {"message": "Hello", "player_id": "ann"}))
    reply = await worker.take()
    assert (reply.claim.submission.player_id, reply.claim.submission.streaming) == ("ann", False)
    await reply.say("Greet", "ings")
    await reply.end()
    result = await asked
    assert (result["response"], result["response_type"], result["model"]) == ("Greetings", "direct", "scripted")


async def test_chat_says_why_a_reply_failed(with_aria: Player, worker: Worker) -> None:
    asked = asyncio.create_task(with_aria.ask("persona.chat", {"message": "Hello"}))
    await (await worker.take()).end("failed", (-32004, "Persona Aria is not available for interaction"))
    error = (await asked)["error"]
    assert (error["code"], error["message"]) == (-32004, "Persona Aria is not available for interaction")


async def test_a_failed_stream_has_its_error_beside_the_result(with_aria: Player, worker: Worker) -> None:
    await with_aria.ask(CHAT, {"message": "Hello"})
    reply = await worker.take()
    await reply.say("Well ")
    await with_aria.receive()
    await reply.end("failed", (-32003, "The model stopped answering"))
    frame = await with_aria.receive()
    assert frame["result"]["event_type"] == "stream_error"
    assert frame["result"]["partial_response"] == "Well "
    assert (frame["error"]["code"], frame["error"]["message"]) == (-32003, "Chat streaming failed")
    assert frame["error"]["data"]["error"] == "llm_error: The model stopped answering"


async def test_a_persona_named_in_the_message_needs_no_switch(player: Player, worker: Worker) -> None:
    start = await player.ask(CHAT, {"message": "Hello", "persona_id": "Aria"})
    assert start["result"]["persona_id"] == "id-aria"
    await (await worker.take()).end()
    assert (await player.receive())["result"]["state"] == "done"
    assert (await player.result("session.get_info"))["active_persona_id"] is None


async def test_cancel_ends_a_running_stream(with_aria: Player, worker: Worker) -> None:
    start = await with_aria.ask(CHAT, {"message": "Hello"}, "s")
    reply = await worker.take()
    stream = {"stream_id": start["result"]["stream_id"]}
    assert (await with_aria.ask("stream.cancel", stream, "c"))["result"]["status"] == "cancelling"
    await reply.end("cancelled")
    assert (await with_aria.receive())["result"]["event_type"] == "stream_cancelled"
    assert (await with_aria.ask("stream.cancel", stream, "c"))["result"]["status"] == "cancelled"


async def test_cancel_ends_a_stream_that_no_worker_has_taken(with_aria: Player) -> None:
    start = await with_aria.ask(CHAT, {"message": "Hello"}, "s")
    stream = {"stream_id": start["result"]["stream_id"]}
    await with_aria.send({"id": "c", "method": "stream.cancel", "params": stream})
    frames = {frame["id"]: frame["result"] for frame in [await with_aria.receive(), await with_aria.receive()]}
    assert frames["c"]["status"] == "cancelled"
    assert frames["s"]["event_type"] == "stream_cancelled"


async def test_a_stream_is_read_through_another_gateway_as_it_was_sent(
    start_gateway: StartGateway, worker: Worker
) -> None:
    first, second = await start_gateway(), await start_gateway()
    async with first.player() as player:
        start = await player.ask(CHAT, {"message": "Hello", "persona_id": "Aria"})
        reply = await worker.take()
        live = []
        for piece in ("Well ", "mét ", "friend"):
            await reply.say(piece)
            live.append((await player.receive())["result"])
    # The player is gone; the reply is not.
    await reply.say("!")
    end = await reply.end()
    async with second.player() as other:
        where = {"stream_id": start["result"]["stream_id"], "epoch": start["result"]["epoch"]}
        whole = await other.result("stream.read", where)
        assert (whole["state"], whole["head_seq"]) == ("done", 5)
        assert [_timeless(event) for event in whole["events"][:3]] == [_timeless(event) for event in live]
        assert whole["events"][-1]["sha256"] == end.sha256
        rest = await other.result("stream.read", {**where, "after_seq": 2})
        assert [_timeless(event) for event in rest["events"]] == [_timeless(event) for event in whole["events"][2:]]


def _timeless(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "timestamp"}


async def test_positions_that_are_not_in_the_stream_are_told_apart(player: Player, worker: Worker) -> None:
    start = await player.ask(CHAT, {"message": "Hello", "persona_id": "Aria"})
    await (await worker.take()).end()
    await player.receive()
    stream_id = start["result"]["stream_id"]
    ahead = (await player.ask("stream.read", {"stream_id": stream_id, "after_seq": 9}))["error"]
    other = (await player.ask("stream.read", {"stream_id": stream_id, "epoch": "old"}))["error"]
    assert (ahead["code"], ahead["data"]["reason"]) == (-32009, "ahead")
    assert (other["code"], other["data"]["reason"]) == (-32009, "epoch_changed")
    assert (await player.ask("stream.read", {"stream_id": "none"}))["error"]["code"] == -32006


async def test_one_idempotency_key_gives_one_reply(start_gateway: StartGateway, worker: Worker) -> None:
    params = {"message": "Hello", "persona_id": "Aria", "player_id": "ann", "idempotency_key": "k"}
    async with (await start_gateway()).player() as one, (await start_gateway()).player() as two:
        first = await one.ask(CHAT, params)
        second = await two.ask(CHAT, params)
        assert first["result"]["stream_id"] == second["result"]["stream_id"]
        conflict = (await two.ask(CHAT, {**params, "message": "Other"}, "r"))["error"]
        assert conflict["code"] == -32008
        reply = await worker.take()
        await reply.say("Hi")
        await reply.end()
        for player in (one, two):
            assert [(await player.receive())["result"].get("seq") for _ in range(2)] == [1, 2]


async def test_memories_and_status_come_from_the_services(with_aria: Player, peers: Peers) -> None:
    found = await with_aria.result("memory.search", {"query": "lute"})
    assert found["memories"][0]["content"] == "The player likes lutes."
    status = await with_aria.result("persona.status")
    assert status["persona"]["topic_preferences"] == {"music": 90}
    assert status["interaction_state"]["is_available"] is True
    assert status["memory_stats"] == {"total_memories": 0}
    peers.away = True
    assert (await with_aria.ask("persona.status"))["error"]["code"] == -32007
    assert (await with_aria.result("system.status"))["system_status"] == "degraded"


async def test_models_are_what_living_workers_report(player: Player, redis: Redis) -> None:
    none = await player.result("system.models")
    assert (none["llm_available"], none["current_model"]) == (False, None)
    report = (
        '{"provider":"ollama","current_model":"small","available_models":["small","big"],"ok":true,'
        '"reason":null,"seen_at_ms":%d,"last_answered_model":"small"}'
    )
    seconds, _ = await redis.time()
    await redis.hset(keys.models("local"), mapping={"old": report % 1, "new": report % (seconds * 1000)})  # type: ignore[misc]
    models = await player.result("system.models")
    assert models["available_models"] == ["big", "small"]
    assert (models["current_model"], models["provider"], models["llm_available"]) == ("small", "ollama", True)


async def test_the_client_library_speaks_to_it(gateway: Gateway, worker: Worker) -> None:
    async with pmcp_client.connect(gateway.url, player_id="ann") as client:
        await client.call("persona.switch", {"persona_id": "Aria"})
        stream = await client.stream(CHAT, {"message": "Hello"})
        reply = await worker.take()
        await reply.say("Well ", "met")
        await reply.end()
        async with asyncio.timeout(5):
            assert await stream.text() == "Well met"
        assert stream.terminal is not None
        assert stream.terminal["tokens_used"] == 7
        with pytest.raises(pmcp_client.CallFailed) as failed:
            await client.call("persona.switch", {"persona_id": "nobody"})
        assert failed.value.code == -32000
