"""Matching of answers to calls, and what survives the loss of a socket, over sockets made of queues."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pmcp_client.backoff import Reconnect
from pmcp_client.connection import Client
from pmcp_client.failures import CallFailed, ClientError, ConnectionLost, StreamNotResumable
from pmcp_client.sessions import MAX_STREAMS
from pmcp_client.stream import ReplyStream, Restarted

from .sockets import OPENED, FakeGateways, FakeSocket

CHAT = "persona.chat_stream"
EAGER = Reconnect(first_seconds=0, longest_seconds=0, give_up_seconds=5)


@pytest.fixture
def gateways() -> FakeGateways:
    return FakeGateways()


async def opened(gateways: FakeGateways, client: Client, **session: Any) -> FakeSocket:
    starting = asyncio.create_task(client.start())
    _, socket = await gateways.next()
    await socket.greet(**session)
    await starting
    return socket


@pytest.fixture
async def client(gateways: FakeGateways) -> AsyncIterator[Client]:
    client = Client(["a", "b"], gateways.open, player_id="ann", reconnect=EAGER)
    yield client
    await client.close()


@pytest.fixture
async def socket(client: Client, gateways: FakeGateways) -> FakeSocket:
    return await opened(gateways, client)


async def begin(client: Client, socket: FakeSocket, stream_id: str = "s") -> tuple[ReplyStream, str]:
    opening = asyncio.create_task(client.stream(CHAT, {"message": "Hi"}))
    request = await socket.expect(CHAT)
    start = {"event_type": "stream_start", "stream_id": stream_id, "epoch": "e", "seq": 0}
    socket.answer(request["id"], result=start)
    return await opening, request["id"]


def chunk(seq: int, text: str) -> dict[str, Any]:
    return {"event_type": "stream_chunk", "stream_id": "s", "seq": seq, "chunk": text}


def end(seq: int, text: str) -> dict[str, Any]:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"event_type": "stream_complete", "stream_id": "s", "seq": seq, "sha256": digest, "state": "done"}


def recovered(**fields: Any) -> dict[str, Any]:
    return {"streams": [{"stream_id": "s", "recovered": True, "reason": None, **fields}]}


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


async def test_a_stream_goes_on_through_the_other_gateway_where_it_was(
    client: Client, socket: FakeSocket, gateways: FakeGateways
) -> None:
    stream, number = await begin(client, socket)
    socket.answer(number, result=chunk(1, "Well "))
    pieces = aiter(stream)
    assert await anext(pieces) == "Well "
    socket.drop(None)
    url, other = await gateways.next()
    asked = await other.greet(resume_token="t-2", **recovered())
    assert (url, asked["method"]) == ("b", "session.resume")
    assert (asked["params"]["session_id"], asked["params"]["resume_token"]) == ("s-1", "t-1")
    assert asked["params"]["streams"] == [{"stream_id": "s", "epoch": "e", "last_seq": 1}]
    for params in (chunk(1, "Well "), chunk(2, "met"), end(3, "Well met")):
        other.event(**params)
    async with asyncio.timeout(5):
        assert [piece async for piece in pieces] == ["met"]
    assert stream.terminal is not None
    assert client.reconnects == 1
    other.drop(1012, "service restart; reconnect_ms=0")
    _, third = await gateways.next()
    assert (await third.greet())["params"] == {"session_id": "s-1", "resume_token": "t-2", "streams": []}


async def test_a_resumed_stream_may_still_fail_with_its_own_error(
    client: Client, socket: FakeSocket, gateways: FakeGateways
) -> None:
    stream, _ = await begin(client, socket)
    socket.drop(None)
    _, other = await gateways.next()
    await other.greet(**recovered())
    error = {"code": -32003, "message": "Chat streaming failed", "data": {}}
    other.event(**{**end(1, ""), "event_type": "stream_error", "error": error})
    with pytest.raises(CallFailed, match="Chat streaming failed"):
        await stream.text()


async def test_a_stream_that_is_kept_no_longer_says_why_and_the_others_go_on(
    client: Client, socket: FakeSocket, gateways: FakeGateways
) -> None:
    lost, _ = await begin(client, socket, "gone")
    kept, _ = await begin(client, socket)
    socket.drop(None)
    _, other = await gateways.next()
    gone = {"stream_id": "gone", "recovered": False, "reason": "expired"}
    await other.greet(streams=[gone, *recovered()["streams"]])
    with pytest.raises(StreamNotResumable) as failed:
        await lost.text()
    assert (failed.value.stream_id, failed.value.reason) == ("gone", "expired")
    other.event(**end(1, ""))
    assert await kept.text() == ""


async def test_a_message_whose_acceptance_was_lost_is_sent_again_under_its_key(
    client: Client, socket: FakeSocket, gateways: FakeGateways
) -> None:
    opening = asyncio.create_task(client.stream(CHAT, {"message": "Hi"}))
    first = await socket.expect(CHAT)
    socket.drop(None)
    _, other = await gateways.next()
    await other.greet()
    second = await other.expect(CHAT)
    assert second["params"] == first["params"]
    other.answer(second["id"], result={"event_type": "stream_start", "stream_id": "s"})
    assert (await opening).stream_id == "s"


async def test_what_may_not_be_done_twice_is_left_to_the_caller(client: Client, socket: FakeSocket) -> None:
    call = asyncio.create_task(client.call("persona.create", {"name": "Nox"}))
    await socket.expect("persona.create")
    socket.drop(None)
    with pytest.raises(ConnectionLost):
        await call


async def test_a_call_waits_for_the_connection_to_come_back(
    client: Client, socket: FakeSocket, gateways: FakeGateways
) -> None:
    gateways.refusing = 3
    call = asyncio.create_task(client.call("persona.list"))
    await socket.expect("persona.list")
    socket.drop(None)
    _, other = await gateways.next()
    await other.greet()
    other.answer((await other.expect("persona.list"))["id"], result={"personas": []})
    assert await call == {"personas": []}


@pytest.mark.parametrize("code", [4002, 4011, 4012, 1009])
async def test_a_close_that_forbids_to_come_back_ends_everything(client: Client, socket: FakeSocket, code: int) -> None:
    stream, _ = await begin(client, socket)
    socket.drop(code, "no")
    for waiting in (stream.text(), client.call("m")):
        with pytest.raises(ConnectionLost) as lost:
            await waiting
        assert lost.value.code == code


async def test_without_any_gateway_for_too_long_everything_fails(gateways: FakeGateways) -> None:
    client = Client(["a"], gateways.open, reconnect=Reconnect(0, 0, give_up_seconds=0))
    socket = await opened(gateways, client)
    stream, _ = await begin(client, socket)
    gateways.refusing = 1_000_000
    socket.drop(None)
    with pytest.raises(ConnectionLost):
        await stream.text()
    await client.close()


async def test_an_expired_session_is_opened_anew_with_its_persona_and_its_streams_are_asked_for_again(
    client: Client, socket: FakeSocket, gateways: FakeGateways
) -> None:
    switching = asyncio.create_task(client.call("persona.switch", {"persona_id": "aria"}))
    socket.answer((await socket.expect("persona.switch"))["id"], result={"name": "Aria"})
    await switching
    stream, number = await begin(client, socket)
    socket.answer(number, result=chunk(1, "old"))
    pieces = aiter(stream)
    assert await anext(pieces) == "old"
    socket.drop(None)
    _, other = await gateways.next()
    error = {"code": -32013, "message": "There is no such session", "data": {}}
    other.answer((await other.expect("session.resume"))["id"], error=error)
    _, third = await gateways.next()
    third.answer((await third.expect("session.open"))["id"], result=OPEN_AGAIN)
    again = await third.expect("persona.switch")
    assert again["params"] == {"player_id": "ann", "persona_id": "aria"}
    third.answer(again["id"], result={"name": "Aria"})
    refused = await third.expect(CHAT)
    error = {"code": -32007, "message": "being restored", "data": {"retryable": True, "retry_after": 0}}
    third.answer(refused["id"], result={"event_type": "stream_error", "stream_id": "none"}, error=error)
    repeated = await third.expect(CHAT)
    assert repeated["params"] == refused["params"] == stream.request[1]  # type: ignore[index]
    third.answer(repeated["id"], result={"event_type": "stream_start", "stream_id": "s", "epoch": "e2", "seq": 0})
    for frame in (chunk(1, "new"), end(2, "new")):
        third.answer(repeated["id"], result=frame)
    async with asyncio.timeout(5):
        rest = [piece async for piece in pieces]
    assert [isinstance(piece, Restarted) for piece in rest] == [True, False]
    assert (rest, stream.epoch, stream.restarts) == (["", "new"], "e2", 1)


async def test_a_stream_whose_message_is_answered_otherwise_now_takes_the_other_ones_place(
    client: Client, socket: FakeSocket, gateways: FakeGateways
) -> None:
    stream, _ = await begin(client, socket)
    socket.drop(None)
    _, other = await gateways.next()
    await other.greet(streams=[{"stream_id": "s", "recovered": False, "reason": "epoch_changed"}])
    repeated = await other.expect(CHAT)
    start = {"event_type": "stream_start", "stream_id": "t", "epoch": "e2", "seq": 0, "message_id": "m2"}
    other.answer(repeated["id"], result=start)
    socket.drop(None)
    other.drop(None)
    _, third = await gateways.next()
    asked = await third.greet(streams=[{"stream_id": "t", "recovered": True, "reason": None}])
    assert asked["params"]["streams"] == [{"stream_id": "t", "epoch": "e2", "last_seq": 0}]
    third.event(**{**end(1, ""), "stream_id": "t"})
    async with asyncio.timeout(5):
        assert await stream.text() == ""
    assert (stream.stream_id, stream.message_id) == ("t", "m2")


async def test_a_message_that_cannot_be_answered_again_ends_its_stream_with_the_reason(
    client: Client, socket: FakeSocket, gateways: FakeGateways
) -> None:
    stream, _ = await begin(client, socket)
    socket.drop(None)
    _, other = await gateways.next()
    await other.greet(streams=[{"stream_id": "s", "recovered": False, "reason": "epoch_changed"}])
    error = {"code": -32009, "message": "kept no longer", "data": {"reason": "not_resumable"}}
    other.answer((await other.expect(CHAT))["id"], result={"event_type": "stream_error"}, error=error)
    async with asyncio.timeout(5):
        with pytest.raises(StreamNotResumable) as failed:
            await stream.text()
    assert failed.value.reason == "not_resumable"


async def test_a_reply_that_begins_anew_on_a_living_socket_is_told_apart(client: Client, socket: FakeSocket) -> None:
    stream, number = await begin(client, socket)
    socket.answer(number, result=chunk(1, "old"))
    anew = {"event_type": "stream_start", "stream_id": "s", "epoch": "e2", "seq": 0, "recovered": False}
    for frame in (anew, chunk(1, "new "), chunk(2, "text"), end(3, "new text")):
        socket.answer(number, result=frame)
    async with asyncio.timeout(5):
        assert await stream.text() == "new text"


async def test_more_streams_than_a_resume_takes_are_asked_for_by_their_messages(
    client: Client, socket: FakeSocket, gateways: FakeGateways
) -> None:
    streams = [await begin(client, socket, f"s{number}") for number in range(MAX_STREAMS + 1)]
    last, number = streams[-1]
    socket.answer(number, result={**chunk(1, "Well "), "data": {"total_length": 5}})
    assert await anext(aiter(last)) == "Well "
    socket.drop(None)
    _, other = await gateways.next()
    kept = [{"stream_id": stream.stream_id, "recovered": True, "reason": None} for stream, _ in streams[:-1]]
    asked = await other.greet(streams=kept)
    assert len(asked["params"]["streams"]) == MAX_STREAMS
    repeated = await other.expect(CHAT)
    assert repeated["params"] == last.request[1]  # type: ignore[index]
    start = {"event_type": "stream_start", "stream_id": last.stream_id, "epoch": "e", "seq": 0}
    joined = {**chunk(2, "Well met"), "first_seq": 1, "data": {"total_length": 8}}
    for frame in (start, joined, end(3, "Well met")):
        other.answer(repeated["id"], result=frame)
    async with asyncio.timeout(5):
        assert [piece async for piece in last] == ["met"]


async def test_a_message_that_was_given_up_and_is_asked_again_is_the_same_message(
    client: Client, socket: FakeSocket
) -> None:
    keys = []
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await client.call("persona.chat", {"message": "Hi"}, timeout_seconds=0.01)
        keys.append((await socket.expect("persona.chat"))["params"]["idempotency_key"])
    calls = [asyncio.create_task(client.call("persona.chat", {"message": text})) for text in ("Hi", "Ho")]
    for call in calls:
        request = await socket.expect("persona.chat")
        keys.append(request["params"]["idempotency_key"])
        socket.answer(request["id"], result={})
        await call
    again = asyncio.create_task(client.call("persona.chat", {"message": "Hi"}))
    keys.append((await socket.expect("persona.chat"))["params"]["idempotency_key"])
    again.cancel()
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys[2:])) == 3


OPEN_AGAIN = {"session_id": "s-2", "resume_token": "t-9", "heartbeat_ms": 3_600_000}


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
