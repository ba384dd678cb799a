"""What is asked again, when, and for how long, over sockets made of queues."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pmcp_client.asking import retry_seconds
from pmcp_client.backoff import Reconnect
from pmcp_client.connection import Client
from pmcp_client.failures import CallFailed, ConnectionLost, failure_of

from .scene import CHAT, EAGER, opened
from .sockets import FakeGateways, FakeSocket

MESSAGES = {
    "persona.chat": {"message": "Hi"},
    "conversation.send_message": {"content": "Hi"},
}
READING = {"persona.list": {}, "memory.search": {"query": "lutes"}, "memory.export": {}, "persona.switch": {}}


def away(retry_after: Any = 0, **data: Any) -> dict[str, Any]:
    return {
        "code": -32007,
        "message": "The message broker is away",
        "data": {"retryable": True, "retry_after": retry_after, **data},
    }


@pytest.mark.parametrize(("method", "params"), [*MESSAGES.items(), *READING.items()])
async def test_a_request_that_is_to_come_later_comes_later(
    client: Client, socket: FakeSocket, method: str, params: dict[str, Any]
) -> None:
    call = asyncio.create_task(client.call(method, params))
    first = await socket.expect(method)
    socket.answer(first["id"], error=away())
    second = await socket.expect(method)
    assert second["params"] == first["params"]
    assert ("idempotency_key" in second["params"]) is (method in MESSAGES)
    socket.answer(second["id"], result={"ok": True})
    assert await call == {"ok": True}


async def test_a_stream_that_is_to_begin_later_begins_later(client: Client, socket: FakeSocket) -> None:
    opening = asyncio.create_task(client.stream(CHAT, {"message": "Hi"}))
    first = await socket.expect(CHAT)
    socket.answer(first["id"], result={"event_type": "stream_error", "stream_id": "none"}, error=away())
    second = await socket.expect(CHAT)
    assert second["params"] == first["params"]
    socket.answer(second["id"], result={"event_type": "stream_start", "stream_id": "s"})
    assert (await opening).stream_id == "s"


async def test_the_pause_is_never_shorter_than_asked_for_and_a_random_part_longer(gateways: FakeGateways) -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return 0

    client = Client(["a"], gateways.open, reconnect=EAGER, uniform=uniform)
    socket = await opened(gateways, client)
    call = asyncio.create_task(client.call("persona.list"))
    socket.answer((await socket.expect("persona.list"))["id"], error=away(4.0))
    socket.answer((await socket.expect("persona.list"))["id"], result={})
    await call
    assert drawn == [(4.0, 6.0)]
    await client.close()


@pytest.mark.parametrize(
    "error",
    [
        {"code": -32602, "message": "message is required", "data": {"retryable": False}},
        {"code": -32012, "message": "A reply is on its way", "data": {"retryable": False, "retry_after": 0}},
        {"code": -32603, "message": "Internal error", "data": {"retryable": True}},
        {"code": -32005, "message": "At most 16", "data": {"retryable": True, "limit": 16}},
        away("soon"),
        away(True),
        away(None),
        away(0, stream_id="s"),
    ],
    ids=["final", "final in time", "no time", "no time either", "text", "bool", "null", "accepted, and failed"],
)
async def test_any_other_error_is_the_callers_at_once(
    client: Client, socket: FakeSocket, error: dict[str, Any]
) -> None:
    call = asyncio.create_task(client.call("persona.chat", {"message": "Hi"}))
    socket.answer((await socket.expect("persona.chat"))["id"], error=error)
    async with asyncio.timeout(5):
        with pytest.raises(CallFailed) as failed:
            await call
    assert failed.value.code == error["code"]
    assert socket.sent.empty()


async def test_what_may_not_be_done_twice_is_not_asked_again(client: Client, socket: FakeSocket) -> None:
    call = asyncio.create_task(client.call("persona.create", {"name": "Nox"}))
    socket.answer((await socket.expect("persona.create"))["id"], error=away())
    with pytest.raises(CallFailed, match="away"):
        await call
    assert socket.sent.empty()


async def test_without_reconnection_nothing_is_asked_again(gateways: FakeGateways) -> None:
    client = Client(["a"], gateways.open)
    await client.start()
    _, socket = await gateways.next()
    call = asyncio.create_task(client.call("persona.list"))
    socket.answer((await socket.expect("persona.list"))["id"], error=away())
    with pytest.raises(CallFailed, match="away"):
        await call
    await client.close()


async def test_a_pause_beyond_the_callers_time_is_not_waited_for(client: Client, socket: FakeSocket) -> None:
    call = asyncio.create_task(client.call("persona.list", timeout_seconds=30))
    socket.answer((await socket.expect("persona.list"))["id"], error=away(60))
    async with asyncio.timeout(5):
        with pytest.raises(CallFailed, match="away"):
            await call


async def test_when_the_time_is_over_the_last_refusal_is_raised(client: Client, socket: FakeSocket) -> None:
    call = asyncio.create_task(client.call("persona.list", timeout_seconds=0.05))
    for what in ("away", "still away"):
        error = {**away(), "message": what}
        socket.answer((await socket.expect("persona.list"))["id"], error=error)
    await socket.expect("persona.list")
    with pytest.raises(CallFailed, match="still away"):
        await call


async def test_a_message_that_was_refused_to_the_end_and_is_asked_again_is_the_same_message(
    client: Client, socket: FakeSocket
) -> None:
    keys = []
    for _ in range(2):
        call = asyncio.create_task(client.call("persona.chat", {"message": "Hi"}))
        request = await socket.expect("persona.chat")
        keys.append(request["params"]["idempotency_key"])
        socket.answer(request["id"], error=away(60))
        with pytest.raises(CallFailed):
            await call
    assert keys[0] == keys[1]


async def test_a_socket_lost_during_the_pause_is_not_the_callers_concern(
    client: Client, socket: FakeSocket, gateways: FakeGateways
) -> None:
    call = asyncio.create_task(client.call("persona.list"))
    socket.answer((await socket.expect("persona.list"))["id"], error=away(0.02))
    socket.drop(None)
    _, other = await gateways.next()
    await other.greet()
    other.answer((await other.expect("persona.list"))["id"], result={"personas": []})
    assert await call == {"personas": []}


@pytest.mark.parametrize(("method", "params"), MESSAGES.items())
async def test_a_message_unanswered_on_a_lost_socket_is_asked_again_under_its_key(
    client: Client, socket: FakeSocket, gateways: FakeGateways, method: str, params: dict[str, Any]
) -> None:
    call = asyncio.create_task(client.call(method, params))
    first = await socket.expect(method)
    socket.drop(1012, "service restart; reconnect_ms=0")
    _, other = await gateways.next()
    await other.greet()
    second = await other.expect(method)
    assert second["params"] == first["params"]
    other.answer(second["id"], result={"response": "Hello"})
    assert await call == {"response": "Hello"}


async def test_a_session_lost_with_the_data_chooses_its_persona_again_as_soon_as_it_can(
    client: Client, socket: FakeSocket
) -> None:
    switching = asyncio.create_task(client.call("persona.switch", {"persona_id": "aria"}))
    socket.answer((await socket.expect("persona.switch"))["id"], result={"name": "Aria"})
    await switching
    call = asyncio.create_task(client.call("persona.chat", {"message": "Hi"}))
    nobody = {"code": -32001, "message": "No persona selected", "data": {"retryable": False}}
    socket.answer((await socket.expect("persona.chat"))["id"], error=nobody)
    socket.answer((await socket.expect("persona.switch"))["id"], error=away())
    socket.answer((await socket.expect("persona.switch"))["id"], result={"name": "Aria"})
    socket.answer((await socket.expect("persona.chat"))["id"], result={"response": "Hello"})
    assert await call == {"response": "Hello"}


async def test_without_any_gateway_for_too_long_what_is_asked_again_fails_too(gateways: FakeGateways) -> None:
    client = Client(["a"], gateways.open, reconnect=Reconnect(0, 0, give_up_seconds=0))
    socket = await opened(gateways, client)
    call = asyncio.create_task(client.call("persona.list"))
    request = await socket.expect("persona.list")
    gateways.refusing = 1_000_000
    socket.answer(request["id"], error=away(0.01))
    socket.drop(None)
    with pytest.raises(ConnectionLost):
        await call
    await client.close()


@pytest.mark.parametrize(("named", "seconds"), [(2, 2.0), (0.5, 0.5), (-1, 0.0), (float("nan"), None), ("2", None)])
def test_the_time_to_come_again_is_a_number(named: Any, seconds: float | None) -> None:
    assert retry_seconds(failure_of(away(named))) == seconds
