"""A reply is judged by its own marker and its whole text; the client's frames are those of RFC 6455."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from bench.load import Load, Plan, Result, judge, parse_plan
from bench.websocket import CLOSE, PING, TEXT, FrameError, FrameReader, client_frame


def server_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    if len(payload) < 126:
        return bytes((0x80 | opcode, len(payload))) + payload
    if len(payload) < 65_536:
        return bytes((0x80 | opcode, 126)) + struct.pack("!H", len(payload)) + payload
    return bytes((0x80 | opcode, 127)) + struct.pack("!Q", len(payload)) + payload


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_frames_of_every_length_form_are_read_even_byte_by_byte(size: int) -> None:
    data = server_frame(b"x" * size) + server_frame(b"", PING)
    whole = FrameReader()
    assert list(whole.feed(data)) == [(TEXT, b"x" * size), (PING, b"")]
    slow, found = FrameReader(), []
    for at in range(0, len(data), 1 if size < 1_000 else 5_000):
        found += list(slow.feed(data[at : at + (1 if size < 1_000 else 5_000)]))
    assert found == [(TEXT, b"x" * size), (PING, b"")]


@pytest.mark.parametrize("first", [0x01, 0xC1], ids=["fragment", "compressed"])
def test_frames_we_did_not_ask_for_are_errors(first: int) -> None:
    with pytest.raises(FrameError):
        list(FrameReader().feed(bytes((first, 1)) + b"x"))


@pytest.mark.parametrize("size", [3, 200, 70_000])
def test_sent_frames_are_masked_and_say_their_length(size: int) -> None:
    frame = client_frame(TEXT, b"y" * size)
    assert frame[0] == 0x81
    assert frame[1] & 0x80
    assert frame.endswith(b"\0\0\0\0" + b"y" * size)


def test_a_right_reply_leaves_no_trace() -> None:
    result = Result()
    judge("[[1-0-1]]", "[[1-0-1]] w1", {"full_response": "[[1-0-1]] w1"}, result)
    assert result == Result()


@pytest.mark.parametrize("text", ["no marker", "[[1-0-2]] w1", "[[1-0-1]] and [[1-9-1]]"])
def test_a_missing_foreign_or_additional_marker_is_wrong(text: str) -> None:
    result = Result()
    judge("[[1-0-1]]", text, {"full_response": text}, result)
    assert (result.wrong_markers, result.torn) == (1, 0)


def test_torn_and_degraded_replies_are_counted_and_timings_kept() -> None:
    result = Result()
    terminal = {"full_response": "[[m]] w1 w2", "data": {"degraded": True, "timings": {"pickup_ms": 2, "note": "x"}}}
    judge("[[m]]", "[[m]] w1", terminal, result)
    assert (result.torn, result.degraded) == (1, 1)
    assert result.timings == {"pickup_ms": [2.0]}


def test_a_reply_without_its_full_text_or_with_a_foreign_hash_is_torn() -> None:
    result = Result()
    judge("[[m]]", "[[m]]", {}, result)
    judge("[[m]]", "[[m]]", {"full_response": "[[m]]", "sha256": "0" * 64}, result)
    assert result.torn == 2


def test_a_plan_survives_its_own_command_line() -> None:
    plan = Plan("ws://127.0.0.1:9/mcp", 7, 1.5, think_low_seconds=4.0, think_high_seconds=12.0, seed=3)
    assert parse_plan(plan.arguments()) == plan


Answer = Callable[[dict[str, Any]], list[dict[str, Any]]]


class ScriptedGateway(asyncio.Protocol):
    """The least of a gateway: upgrades, then answers each request by `answer`."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._upgraded:
            self._upgraded = True
            self._transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            return
        start = data.find(b"{")
        if data[0] & 0x0F == CLOSE or start < 0:
            return
        for frame in self._answer(orjson.loads(data[start:])):
            self._transport.write(server_frame(orjson.dumps(frame)))


async def run_load(answer: Answer) -> Result:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ScriptedGateway(answer), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        plan = Plan(f"ws://127.0.0.1:{port}/mcp", 2, 0.2, ramp_seconds=0.0, warm_seconds=0.0, think_high_seconds=0.02)
        lines: list[str] = []
        result = await asyncio.wait_for(Load(plan, lines.append).run(), 5.0)
    assert lines == ["window open", "window closed"]
    return result


def frame(request: dict[str, Any], **result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request["id"], "result": result}


def echo(request: dict[str, Any]) -> list[dict[str, Any]]:
    if request["method"] == "persona.switch":
        return [frame(request, name="Aria")]
    marker = request["params"]["message"].rsplit(" ", 1)[1]
    return [
        frame(request, event_type="stream_start"),
        frame(request, event_type="stream_chunk", chunk=marker),
        frame(request, event_type="stream_complete", full_response=marker),
    ]


async def test_a_good_server_gives_samples_and_no_faults() -> None:
    result = await run_load(echo)
    assert result.connected == 2
    assert result.finished > 2
    assert len({marker for marker, _, _ in result.samples}) == len(result.samples)
    assert (result.wrong_markers, result.torn, result.stuck, dict(result.errors)) == (0, 0, 0, {})


async def test_refusals_are_counted_by_kind() -> None:
    def refuse(request: dict[str, Any]) -> list[dict[str, Any]]:
        if request["method"] == "persona.switch":
            return [frame(request, name="Aria")]
        return [{"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32003, "message": "LLM error"}}]

    result = await run_load(refuse)
    assert result.errors["reply -32003 LLM error"] >= 2
    assert result.samples == []


async def test_a_refused_switch_does_not_hang_the_run() -> None:
    def refuse(request: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32000, "message": "Persona not found"}}]

    assert dict((await run_load(refuse)).errors) == {"switch -32000 Persona not found": 2}


async def test_stream_errors_are_counted() -> None:
    def fail(request: dict[str, Any]) -> list[dict[str, Any]]:
        if request["method"] == "persona.switch":
            return [frame(request, name="Aria")]
        return [frame(request, event_type="stream_error") | {"error": {"code": -32603, "message": "Chat failed"}}]

    assert sum((await run_load(fail)).errors.values()) >= 2
