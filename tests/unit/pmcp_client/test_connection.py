"""Answers find their calls, and a link that is no good is seen, over sockets made of queues."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pmcp_client.connection import Client
from pmcp_client.failures import CallFailed, ClientError, ConnectionLost

from .scene import CHAT, EAGER, begin, chunk, end, opened, recovered
from .sockets import OPENED, FakeGateways, FakeSocket


async def test_answers_find_their_calls_in_any_order(client: Client, socket: FakeSocket) -> None:
    calls = [asyncio.create_task(client.call("m", {"n": n})) for n in range(3)]
    requests = [await socket.next_sent() for _ in calls]
    for request in reversed(requests):
        socket.answer(request["id"], result={"n": request["params"]["n"]})
    assert await asyncio.gather(*calls) == [{"n": 0}, {"n": 1}, {"n": 2}]


async def test_the_player_goes_with_each_call_that_names_none(client: Client, socket: FakeSocket) -> None:
    await client.notify("m")
    await client.notify("m", {"player_id": "bob"})
    assert [(await socket.next_sent())["params"]["player_id"] for _ in range(2)] == ["ann", "bob"]


async def test_an_error_becomes_call_failed(client: Client, socket: FakeSocket) -> None:
    call = asyncio.create_task(client.call("m"))
    error = {"code": -32007, "message": "away", "data": {"retryable": True, "retry_after": 1.0}}
    socket.answer((await socket.next_sent())["id"], error=error)
    with pytest.raises(CallFailed, match="away") as failed:
        await call
    assert (failed.value.code, failed.value.retryable, failed.value.data["retry_after"]) == (-32007, True, 1.0)


async def test_a_call_without_answer_times_out_and_its_late_answer_harms_nobody(
    client: Client, socket: FakeSocket
) -> None:
    with pytest.raises(TimeoutError):
        await client.call("m", timeout_seconds=0)
    socket.answer("2", result={})
    call = asyncio.create_task(client.call("again"))
    while (request := await socket.next_sent())["method"] != "again":
        pass
    socket.answer(request["id"], result={"ok": True})
    assert await call == {"ok": True}


async def test_frames_of_two_streams_are_kept_apart(client: Client, socket: FakeSocket) -> None:
    (first, one), (second, two) = await begin(client, socket, "s1"), await begin(client, socket, "s2")
    for number in (one, two):
        socket.answer(number, result={"event_type": "stream_chunk", "seq": 1, "chunk": number})
    async with asyncio.timeout(5):
        assert [await anext(aiter(stream)) for stream in (first, second)] == [one, two]


async def test_a_stream_that_was_not_accepted_fails_like_a_call(client: Client, socket: FakeSocket) -> None:
    opening = asyncio.create_task(client.stream(CHAT))
    error = {"code": -32001, "message": "Streaming error: No persona selected", "data": {}}
    socket.answer((await socket.next_sent())["id"], result={"event_type": "stream_error"}, error=error)
    with pytest.raises(CallFailed, match="No persona selected"):
        await opening


async def test_a_method_that_does_not_stream_is_told(client: Client, socket: FakeSocket) -> None:
    opening = asyncio.create_task(client.stream("persona.list"))
    socket.answer((await socket.next_sent())["id"], result={"personas": []})
    with pytest.raises(ClientError, match="does not stream"):
        await opening


async def test_each_message_has_a_key_of_its_own_unless_the_caller_gives_one(
    client: Client, socket: FakeSocket
) -> None:
    given = [{"message": "Hi"}, {"message": "Hi"}, {"message": "Hi", "idempotency_key": "mine"}]
    calls = [asyncio.create_task(client.call("persona.chat", params)) for params in given]
    keys = [(await socket.next_sent())["params"]["idempotency_key"] for _ in calls]
    assert len(set(keys)) == 3
    assert "mine" in keys
    for call in calls:
        call.cancel()


async def test_without_reconnection_a_closed_socket_fails_all_that_waits_and_all_that_comes(
    gateways: FakeGateways,
) -> None:
    client = Client(["a"], gateways.open)
    await client.start()
    _, socket = await gateways.next()
    stream, _ = await begin(client, socket)
    call = asyncio.create_task(client.call("m"))
    await socket.next_sent()
    socket.drop(1012, "service restart")
    for waiting in (call, stream.text(), client.call("later")):
        with pytest.raises(ConnectionLost) as lost:
            await waiting
        assert (lost.value.code, lost.value.reason) == (1012, "service restart")
    await client.close()


async def test_a_gap_drops_the_socket_and_resumes(client: Client, socket: FakeSocket, gateways: FakeGateways) -> None:
    stream, number = await begin(client, socket)
    socket.answer(number, result=chunk(2, "met"))
    _, other = await gateways.next()
    await other.greet(**recovered())
    for params in (chunk(1, "Well "), chunk(2, "met"), end(3, "Well met")):
        other.event(**params)
    async with asyncio.timeout(5):
        assert await stream.text() == "Well met"


@pytest.mark.parametrize("told", [{"heads": {"s": 4}, "behind": []}, {"heads": {}, "behind": ["s"]}])
async def test_a_silent_loss_shows_at_the_next_ping(gateways: FakeGateways, told: dict[str, Any]) -> None:
    client = Client(["a", "b"], gateways.open, reconnect=EAGER)
    socket = await opened(gateways, client, heartbeat_ms=1)
    stream, number = await begin(client, socket)
    socket.answer(number, result=chunk(1, "Well "))
    assert await anext(aiter(stream)) == "Well "
    while (ping := await socket.expect("session.ping"))["params"]["heads"] != {"s": 1}:
        socket.answer(ping["id"], result={"heads": {}, "behind": [], "resumable": True})
    socket.answer(ping["id"], result={**told, "resumable": True})
    _, other = await gateways.next()
    assert (await other.greet(**recovered()))["params"]["streams"][0]["last_seq"] == 1
    await client.close()


async def test_a_session_the_broker_lost_is_opened_again_on_the_same_socket(gateways: FakeGateways) -> None:
    client = Client(["a"], gateways.open, reconnect=EAGER)
    socket = await opened(gateways, client, heartbeat_ms=1)
    ping = await socket.expect("session.ping")
    socket.answer(ping["id"], result={"heads": {}, "behind": [], "resumable": False})
    await socket.greet(resume_token="t-2")
    socket.drop(None)
    _, other = await gateways.next()
    assert (await other.expect("session.resume"))["params"]["resume_token"] == "t-2"
    await client.close()


async def test_an_older_gateway_without_sessions_is_good_enough(gateways: FakeGateways) -> None:
    client = Client(["a"], gateways.open, reconnect=EAGER)
    starting = asyncio.create_task(client.start())
    _, socket = await gateways.next()
    request = await socket.expect("session.open")
    socket.answer(request["id"], error={"code": -32601, "message": "Method not found: session.open", "data": {}})
    await starting
    assert (await begin(client, socket))[0].stream_id == "s"
    await client.close()


async def test_what_is_not_json_ends_the_link(client: Client, socket: FakeSocket, gateways: FakeGateways) -> None:
    socket.say("not json")
    await gateways.next()
    assert socket.closed_with == 1002


async def test_a_socket_that_dies_right_behind_its_greeting_is_not_taken(
    client: Client, gateways: FakeGateways
) -> None:
    starting = asyncio.create_task(client.start())
    _, dying = await gateways.next()
    request = await dying.next_sent()
    dying.answer(request["id"], result=OPENED)
    dying.drop(None)
    url, living = await gateways.next()
    await living.greet()
    await starting
    assert url == "b"
    asking = asyncio.create_task(client.call("persona.list"))
    living.answer((await living.expect("persona.list"))["id"], result={"personas": []})
    assert await asking == {"personas": []}


async def test_callers_whose_socket_breaks_under_them_go_on_with_the_next_one(
    client: Client, socket: FakeSocket, gateways: FakeGateways
) -> None:
    socket.broken = True
    asking = [asyncio.create_task(client.call("persona.list")) for _ in range(2)]
    _, second = await gateways.next()
    await second.greet()
    for _ in asking:
        second.answer((await second.expect("persona.list"))["id"], result={"personas": []})
    async with asyncio.timeout(5):
        assert await asyncio.gather(*asking) == [{"personas": []}] * 2
