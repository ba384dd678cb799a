"""What survives the loss of a socket, over sockets made of queues."""

from __future__ import annotations

import asyncio

import pytest

from pmcp_client.backoff import Reconnect
from pmcp_client.connection import Client
from pmcp_client.failures import CallFailed, ConnectionLost, StreamNotResumable
from pmcp_client.sessions import MAX_STREAMS
from pmcp_client.stream import Restarted

from .scene import CHAT, OPEN_AGAIN, begin, chunk, end, opened, recovered
from .sockets import FakeGateways, FakeSocket


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


async def test_a_client_that_asked_too_much_comes_back_after_the_time_it_is_told(gateways: FakeGateways) -> None:
    waits: list[float] = []

    def uniform(low: float, high: float) -> float:
        waits.append(high)
        return 0

    client = Client(["a"], gateways.open, reconnect=Reconnect(longest_seconds=0.01), uniform=uniform)
    socket = await opened(gateways, client)
    socket.drop(4008, "too many requests; retry_after=5")
    _, other = await gateways.next()
    assert (await other.greet())["method"] == "session.resume"
    assert waits == []  # the time was given, not drawn
    await client.close()


@pytest.mark.parametrize("code", [4001, 4009])
async def test_a_session_whose_socket_is_closed_as_unknown_is_not_shown_again(
    client: Client, socket: FakeSocket, gateways: FakeGateways, code: int
) -> None:
    socket.drop(code, "no such session")
    _, other = await gateways.next()
    assert (await other.greet(**OPEN_AGAIN))["method"] == "session.open"
