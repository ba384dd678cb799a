"""Matching of answers to calls, over a socket made of two queues."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import orjson
import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from pmcp_client.connection import Client
from pmcp_client.failures import CallFailed, ClientError, ConnectionLost


class Socket:
    def __init__(self) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._incoming: asyncio.Queue[str | Exception] = asyncio.Queue()
        self.closed_with: int | None = None

    async def send(self, text: str) -> None:
        self.sent.put_nowait(orjson.loads(text))

    async def recv(self) -> str:
        frame = await self._incoming.get()
        if isinstance(frame, Exception):
            raise frame
        return frame

    async def close(self, code: int) -> None:
        self.closed_with = code

    def answer(self, number: str, **fields: Any) -> None:
        self._incoming.put_nowait(orjson.dumps({"jsonrpc": "2.0", "id": number, **fields}).decode())

    def say(self, text: str) -> None:
        self._incoming.put_nowait(text)

    def drop(self, code: int, reason: str) -> None:
        self._incoming.put_nowait(ConnectionClosedError(Close(code, reason), None))

    async def next_sent(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            return await self.sent.get()


@pytest.fixture
def socket() -> Socket:
    return Socket()


@pytest.fixture
async def client(socket: Socket) -> AsyncIterator[Client]:
    client = Client(cast(Any, socket), "ann")
    reader = asyncio.create_task(client.read_frames())
    yield client
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)


async def test_answers_find_their_calls_in_any_order(client: Client, socket: Socket) -> None:
    calls = [asyncio.create_task(client.call("m", {"n": n})) for n in range(3)]
    requests = [await socket.next_sent() for _ in calls]
    for request in reversed(requests):
        socket.answer(request["id"], result={"n": request["params"]["n"]})
    assert await asyncio.gather(*calls) == [{"n": 0}, {"n": 1}, {"n": 2}]


async def test_the_player_goes_with_each_call_that_names_none(client: Client, socket: Socket) -> None:
    await client.notify("m")
    await client.notify("m", {"player_id": "bob"})
    assert [(await socket.next_sent())["params"]["player_id"] for _ in range(2)] == ["ann", "bob"]


async def test_an_error_becomes_call_failed(client: Client, socket: Socket) -> None:
    call = asyncio.create_task(client.call("m"))
    error = {"code": -32007, "message": "away", "data": {"retryable": True, "retry_after": 1.0}}
    socket.answer((await socket.next_sent())["id"], error=error)
    with pytest.raises(CallFailed, match="away") as failed:
        await call
    assert (failed.value.code, failed.value.retryable, failed.value.data["retry_after"]) == (-32007, True, 1.0)


async def test_a_call_without_answer_times_out_and_its_late_answer_harms_nobody(client: Client, socket: Socket) -> None:
    with pytest.raises(TimeoutError):
        await client.call("m", timeout_seconds=0)
    socket.answer("1", result={})
    call = asyncio.create_task(client.call("m"))
    while (request := await socket.next_sent())["id"] == "1":
        pass
    socket.answer(request["id"], result={"ok": True})
    assert await call == {"ok": True}


async def test_frames_of_two_streams_are_kept_apart(client: Client, socket: Socket) -> None:
    opening = [asyncio.create_task(client.stream("persona.chat_stream")) for _ in "ab"]
    numbers = [(await socket.next_sent())["id"] for _ in opening]
    for number in numbers:
        socket.answer(number, result={"event_type": "stream_start", "stream_id": f"s{number}"})
    for number in numbers:
        socket.answer(number, result={"event_type": "stream_chunk", "seq": 1, "chunk": number})
    streams = [await stream for stream in opening]
    async with asyncio.timeout(5):
        assert [await anext(aiter(stream)) for stream in streams] == numbers


async def test_a_stream_that_was_not_accepted_fails_like_a_call(client: Client, socket: Socket) -> None:
    opening = asyncio.create_task(client.stream("persona.chat_stream"))
    error = {"code": -32001, "message": "Streaming error: No persona selected", "data": {}}
    socket.answer((await socket.next_sent())["id"], result={"event_type": "stream_error"}, error=error)
    with pytest.raises(CallFailed, match="No persona selected"):
        await opening


async def test_a_method_that_does_not_stream_is_told(client: Client, socket: Socket) -> None:
    opening = asyncio.create_task(client.stream("persona.list"))
    socket.answer((await socket.next_sent())["id"], result={"personas": []})
    with pytest.raises(ClientError, match="does not stream"):
        await opening


async def test_a_closed_socket_fails_all_that_waits_and_all_that_comes(client: Client, socket: Socket) -> None:
    opening = asyncio.create_task(client.stream("persona.chat_stream"))
    socket.answer((await socket.next_sent())["id"], result={"event_type": "stream_start", "stream_id": "s"})
    stream = await opening
    call = asyncio.create_task(client.call("m"))
    await socket.next_sent()
    socket.drop(1012, "service restart")
    for waiting in (call, stream.text(), client.call("later")):
        with pytest.raises(ConnectionLost) as lost:
            await waiting
        assert (lost.value.code, lost.value.reason) == (1012, "service restart")


async def test_what_is_not_json_ends_the_connection(client: Client, socket: Socket) -> None:
    call = asyncio.create_task(client.call("m"))
    await socket.next_sent()
    socket.say("not json")
    with pytest.raises(ConnectionLost):
        await call
