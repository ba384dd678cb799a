"""Bad input of every kind: the right code, an unharmed neighbour, nothing stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis
from websockets.exceptions import InvalidStatus

from pmcp_common.contracts import keys

from .conftest import Gateway, Player, StartGateway, Worker

CHAT = "persona.chat_stream"
ARIA = {"persona_id": "Aria"}
A_YEAR_MS = 365 * 86_400_000
NO_NUMBERS: list[Any] = ["3", "", 3.5, 3.0, 1.9e19, True, [3], {}]
NO_DEADLINES = [0, -1, 300_001, A_YEAR_MS, 2**63, *NO_NUMBERS]
NO_POSITIONS = [-1, -(2**63), 2**53 + 1, 2**63, *NO_NUMBERS]
NO_LIMITS = [0, -1, 1001, 2**63, *NO_NUMBERS]


@pytest.fixture
async def neighbour(gateway: Gateway, redis: Redis) -> AsyncIterator[Player]:
    """Connected before, and served as ever afterwards; no job came of what its neighbour sent."""
    async with gateway.player() as neighbour:
        await neighbour.result("persona.switch", ARIA)
        yield neighbour
        assert (await neighbour.result("session.get_info"))["active_persona_name"] == "Aria"
    assert await redis.keys("pmcp:{*") == []
    assert await redis.zcard(keys.REPLY_QUEUE) == 0
    assert await redis.zcard(keys.conversations("local")) == 0


@pytest.mark.usefixtures("neighbour")
@pytest.mark.parametrize(
    ("frame", "code", "number"),
    [
        ("hello", -32700, None),
        ("", -32700, None),
        ('{"id": 1, ', -32700, None),
        ("[" * 2000, -32700, None),
        ('{"id":' * 30_000, -32700, None),
        ("42", -32600, None),
        ("null", -32600, None),
        ('"text"', -32600, None),
        ('[{"id":1,"method":"persona.list"},{"id":2,"method":"persona.list"}]', -32600, None),
        ("[]", -32600, None),
        ('{"jsonrpc":"1.0","id":"a","method":"persona.list"}', -32600, "a"),
        ('{"jsonrpc":2.0,"id":"a","method":"persona.list"}', -32600, "a"),
        ('{"id":5}', -32600, 5),
        ('{"id":5,"method":7}', -32600, 5),
        ('{"id":{"a":1},"method":"persona.list"}', -32600, None),
        ('{"id":true,"method":"persona.list"}', -32600, None),
        ('{"id":123456789012345678901234567890,"method":"persona.list"}', -32600, None),
        ('{"id":1.5,"method":"persona.lust"}', -32601, 1.5),
        ('{"id":"","method":"rpc.unknown"}', -32601, ""),
        ('{"id":1,"method":"persona.list","params":[1]}', -32602, 1),
        ('{"id":1,"method":"persona.list","params":"x"}', -32602, 1),
    ],
)
async def test_a_frame_that_is_no_request(player: Player, frame: str, code: int, number: Any) -> None:
    await player.send(frame)
    answer = await player.receive()
    assert answer["error"]["code"] == code
    assert answer["id"] == number
    assert type(answer["id"]) is type(number)
    assert "result" not in answer
    assert (await player.result("persona.list"))["total_count"] == 2


@pytest.mark.usefixtures("neighbour")
@pytest.mark.parametrize(
    ("method", "params", "code", "text"),
    [
        ("persona.switch", {}, -32602, "persona_id is required"),
        ("persona.switch", {"persona_id": None}, -32602, "persona_id is required"),
        ("persona.switch", {"persona_id": ""}, -32602, "persona_id is required"),
        ("persona.switch", {"persona_id": 5}, -32602, "persona_id: "),
        ("persona.switch", {"persona_id": "a\x00b"}, -32602, "persona_id: "),
        ("persona.switch", {"persona_id": "../personas"}, -32000, "Persona not found: ../personas"),
        ("persona.switch", {"persona_id": "Zoë"}, -32000, "Persona not found: Zoë"),
        ("persona.status", {}, -32001, "No persona selected"),
        ("persona.chat", {"message": "Hi"}, -32001, "No persona selected. Use persona.switch first"),
        ("persona.chat", {}, -32602, "message is required"),
        ("persona.chat", {"message": " \n"}, -32602, "message is required"),
        ("persona.chat", {"message": ["Hi"]}, -32602, "message: "),
        ("persona.chat", {"message": "a\x00", **ARIA}, -32602, "message: "),
        ("persona.chat", {"message": "é" * 16_385, **ARIA}, -32602, "message: is over 32768 bytes"),
        ("persona.chat", {"message": "Hi", "token_budget": 0, **ARIA}, -32602, "token_budget: "),
        ("persona.chat", {"message": "Hi", "token_budget": 10**15, **ARIA}, -32602, "token_budget: "),
        ("persona.chat", {"message": "Hi", "sender": 7, **ARIA}, -32602, "sender: "),
        ("persona.chat", {"message": "Hi", "persona_id": "nobody"}, -32000, "Persona not found: nobody"),
        ("memory.search", {}, -32602, "query is required"),
        ("memory.search", {"query": "x"}, -32001, "No persona selected"),
        ("memory.prune", {}, -32001, "No persona specified and no current persona selected"),
        ("memory.prune_recommendations", {}, -32001, "No persona specified and no current persona selected"),
        (
            "memory.search_cross_persona",
            {"query": "x"},
            -32001,
            "No active persona. Please switch to a persona first.",
        ),
        ("stream.cancel", {"stream_id": "unknown"}, -32006, "Stream not found"),
        ("stream.read", {"stream_id": "x"}, -32006, "Stream not found: x"),
    ],
)
async def test_parameters_that_do_not_fit(
    player: Player, method: str, params: dict[str, Any], code: int, text: str
) -> None:
    error = (await player.ask(method, params))["error"]
    assert error["code"] == code
    assert error["message"].startswith(text)
    assert error["data"]["method"] == method
    assert error["data"]["detail"].startswith("Internal error: ")
    if code == -32001:
        assert "No persona selected" in error["data"].get("hint", error["message"])


@pytest.mark.usefixtures("neighbour")
@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        ({}, -32602, "Streaming error: message is required"),
        ({"message": "x" * 32_769}, -32602, "Streaming error: message: is over 32768 bytes"),
        ({"message": "Hi"}, -32001, "Streaming error: No persona selected"),
        ({"message": "Hi", "persona_id": "nobody"}, -32000, "Streaming error: Persona not found: nobody"),
    ],
)
async def test_a_stream_that_cannot_begin_is_one_stream_error(
    player: Player, params: dict[str, Any], code: int, text: str
) -> None:
    frame = await player.ask(CHAT, params)
    assert frame["result"]["event_type"] == "stream_error"
    assert frame["result"]["stream_id"]
    assert frame["error"]["code"] == code
    assert frame["error"]["message"].startswith(text)
    assert frame["error"]["data"]["method"] == CHAT
    assert (await player.result("persona.list"))["total_count"] == 2


@pytest.mark.usefixtures("neighbour")
@pytest.mark.parametrize(
    ("method", "params", "field", "values"),
    [
        ("stream.read", {"stream_id": "x"}, "after_seq", NO_POSITIONS),
        ("stream.read", {"stream_id": "x"}, "limit", NO_LIMITS),
        ("stream.cancel", {"stream_id": "x"}, "heard_chars", NO_POSITIONS),
        ("session.ping", {}, "heads", [[], ["x"], "x", 1, True, dict.fromkeys(map(str, range(65)), 0)]),
        ("persona.chat", {"message": "Hi", **ARIA}, "deadline_ms", NO_DEADLINES),
        ("conversation.send_message", {"content": "Hi", **ARIA}, "deadline_ms", NO_DEADLINES),
        ("conversation.advance", {}, "deadline_ms", NO_DEADLINES),
    ],
)
async def test_numbers_that_do_not_fit(
    player: Player, method: str, params: dict[str, Any], field: str, values: list[Any]
) -> None:
    for value in values:
        error = (await player.ask(method, {**params, field: value}))["error"]
        assert (error["code"], error["data"]["field"]) == (-32602, field), value
        assert error["message"].startswith(field)


@pytest.mark.usefixtures("neighbour")
async def test_positions_of_a_ping_that_do_not_fit(player: Player) -> None:
    for position in (*NO_POSITIONS, None):
        error = (await player.ask("session.ping", {"heads": {"here": 0, "x": position}}))["error"]
        assert (error["code"], error["data"]["field"]) == (-32602, "heads.x"), position
    for stream_id in ("", "y" * 1000, "a\x00b"):
        error = (await player.ask("session.ping", {"heads": {stream_id: 0}}))["error"]
        assert error["code"] == -32602
        assert len(error["message"]) < 500


@pytest.mark.usefixtures("neighbour")
async def test_a_deadline_that_does_not_fit_is_one_stream_error(player: Player) -> None:
    for deadline in NO_DEADLINES:
        frame = await player.ask(CHAT, {"message": "Hi", "deadline_ms": deadline, **ARIA})
        assert frame["result"]["event_type"] == "stream_error"
        assert (frame["error"]["code"], frame["error"]["data"]["field"]) == (-32602, "deadline_ms"), deadline
        assert frame["error"]["message"].startswith("Streaming error: deadline_ms")


@pytest.mark.usefixtures("neighbour")
async def test_what_was_wrong_is_never_repeated(player: Player) -> None:
    frame = await player.ask("persona.chat", {"message": {"secret": "my words"}})
    assert "my words" not in orjson.dumps(frame).decode()


@pytest.mark.usefixtures("neighbour")
async def test_a_binary_frame_closes_with_1003(player: Player) -> None:
    await player.socket.send(b'{"id":1,"method":"persona.list"}')
    assert await player.close_code() == 1003


@pytest.mark.usefixtures("neighbour")
async def test_invalid_utf8_closes_with_1007(player: Player) -> None:
    await player.socket.send(b'{"id":"\xff"}', text=True)
    assert await player.close_code() == 1007


@pytest.mark.usefixtures("neighbour")
async def test_invalid_utf8_in_fragments_closes_with_1007(player: Player) -> None:
    await player.socket.send([b'{"id":"\xc3', b'"}'], text=True)
    assert await player.close_code() == 1007


@pytest.mark.usefixtures("neighbour")
async def test_a_frame_over_256_kib_closes_with_1009(player: Player) -> None:
    await player.send('{"id":1,"method":"persona.list","params":{"x":"' + "y" * 262_144 + '"}}')
    assert await player.close_code() == 1009


async def test_a_character_may_be_split_over_fragments(player: Player) -> None:
    text = '{"id":"é","method":"session.get_info"}'.encode()
    await player.socket.send([text[:8], text[8:]], text=True)
    assert (await player.receive())["id"] == "é"


async def test_a_hundred_malformed_frames_in_a_row_close_with_4002(player: Player) -> None:
    for _ in range(99):
        await player.send("x")
    for _ in range(99):
        assert (await player.receive())["error"]["code"] == -32700
    await player.result("persona.list")
    for _ in range(100):
        await player.send("x")
    assert await player.close_code() == 4002


async def test_a_notification_is_carried_out_and_not_answered(player: Player) -> None:
    await player.send({"jsonrpc": "2.0", "method": "persona.switch", "params": ARIA})
    await player.send({"jsonrpc": "2.0", "method": "no.such"})
    async with asyncio.timeout(5):
        while (await player.result("session.get_info"))["active_persona_name"] != "Aria":
            pass


async def test_a_null_id_is_answered_with_null(player: Player) -> None:
    assert (await player.ask("persona.list", None, None))["result"]["total_count"] == 2


async def test_a_request_whose_id_is_in_flight_waits_for_the_one_before_it(player: Player, worker: Worker) -> None:
    await player.ask(CHAT, {"message": "Hi", **ARIA}, "one")
    await player.send({"id": "one", "method": "persona.list"})
    assert (await player.ask("persona.list", {}, "other"))["result"]["total_count"] == 2
    await (await worker.take()).end()
    assert (await player.receive())["result"]["state"] == "done"
    assert (await player.receive())["result"]["total_count"] == 2
    assert (await player.ask("persona.list", {}, "one"))["result"]["total_count"] == 2


async def test_seventeen_in_flight_are_one_too_many(player: Player, worker: Worker) -> None:
    for number in range(16):
        await player.ask(CHAT, {"message": "Hi", **ARIA, "player_id": f"p{number}"}, number)
    error = (await player.ask("persona.list", {}, "more"))["error"]
    assert (error["code"], error["data"]["retryable"]) == (-32005, True)
    assert "16" in error["message"]
    await (await worker.take()).end()
    assert (await player.receive())["result"]["state"] == "done"
    assert (await player.ask("persona.list", {}, "more"))["result"]["total_count"] == 2


async def test_a_client_that_does_not_heed_the_limit_is_cut_off(start_gateway: StartGateway, worker: Worker) -> None:
    gateway = await start_gateway(gateway_max_in_flight=1)
    async with gateway.player() as player:
        await player.ask(CHAT, {"message": "Hi", **ARIA})
        for number in range(1000):
            await player.send({"id": number, "method": "persona.list"})
        assert await player.close_code() == 4008
        assert player.socket.close_reason == "too many requests; retry_after=5"
        await (await worker.take()).end()


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost.evil.example", "file://"])
async def test_a_foreign_origin_is_refused(gateway: Gateway, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with gateway.player(origin=origin):
            pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:8000", "http://[::1]:9"])
async def test_a_page_of_this_machine_may_connect(gateway: Gateway, origin: str) -> None:
    async with gateway.player(origin=origin) as player:
        assert (await player.result("persona.list"))["total_count"] == 2


async def test_sockets_beyond_the_limit_are_answered_503(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(gateway_max_sockets=1)
    async with gateway.player():
        with pytest.raises(InvalidStatus) as refused:
            async with gateway.player():
                pass
    assert refused.value.response.status_code == 503
