"""F9, F10 and F12: clients that do not read, that repeat themselves, and that talk nonsense."""

from __future__ import annotations

import asyncio
import random
import re
import socket
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.uri import parse_uri

from bench.soak.fault_stack import FaultStack, until
from bench.soak.holdings import asked_marker
from bench.soak.told import Told
from pmcp_common.contracts.errors import IDEMPOTENCY_CONFLICT, INTERNAL_ERROR
from pmcp_common.testing.fake_model_script import Behaviour
from tests.faults.conftest import SEED, Trial

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLIENTS = 100
SOCKETS, FRAMES = 20, 50
ANSWER_SECONDS = 20.0
NONSENSE: tuple[str | bytes, ...] = (
    "",
    "{",
    "null",
    "[]",
    "[1,2,3]",
    '"text"',
    "1e999",
    "{}",
    '{"jsonrpc":"1.0","id":1,"method":"persona.list"}',
    '{"jsonrpc":"2.0","id":{"a":1},"method":"persona.list"}',
    '{"jsonrpc":"2.0","id":1,"method":7}',
    '{"jsonrpc":"2.0","id":2,"method":"persona.list","params":"x"}',
    '{"jsonrpc":"2.0","id":3,"method":"no.such.method"}',
    '{"jsonrpc":"2.0","id":4,"method":"persona.chat_stream","params":{"message":7}}',
    '{"jsonrpc":"2.0","id":5,"method":"persona.chat_stream","params":{"message":""}}',
    '{"jsonrpc":"2.0","id":6,"method":"stream.read","params":{"stream_id":"x","after_seq":-1}}',
    '{"jsonrpc":"2.0","id":7,"method":"stream.read","params":{"stream_id":"x","after_seq":9223372036854775808}}',
    '{"jsonrpc":"2.0","id":8,"method":"stream.cancel","params":{"stream_id":"' + "y" * 1000 + '"}}',
    "[" * 2000 + "]" * 2000,
    '{"a":' * 500 + "1" + "}" * 500,
    '{"jsonrpc":"2.0","id":9,"method":"persona.list","params":{"player_id":"\\u0000"}}',
)
STALLED, STREAMS_EACH = 4, 12
CUT_SECONDS = 10.0 + 10.0
"""The bound is 10 s or 1 MB; then what two busy cores need to write so much."""
TOO_SLOW = re.compile(r'^[a-z_]*closed[a-z_]*_total\{code="4010"\} ([0-9.e+]+)$', re.MULTILINE)
CLOSED_FOR: dict[str, tuple[str | bytes, int]] = {
    "a binary frame": (b"\x00\x01", 1003),
    "too large a frame": ("x" * (300 * 1024), 1009),
}


async def test_one_key_from_many_clients_is_one_reply(trial: Trial) -> None:
    key, marker, owner = f"{trial.name}-key", f"[[{trial.name}.1]]", f"{trial.name}-owner"
    players = await trial.players(CLIENTS, player=owner)
    told = [player.begin(key=key, marker=marker) for player in players]
    await asyncio.gather(*(player.hear(one) for player, one in zip(players, told, strict=True)))
    assert {(one.stream, one.message_id, one.text, one.state) for one in told} == {
        (told[0].stream, told[0].message_id, told[0].text, "done")
    }
    other = await (await trial.player(CLIENTS, player=owner)).say("Something else.", key=key)
    assert other.end is not None
    assert other.end["code"] == IDEMPOTENCY_CONFLICT.code


async def test_nonsense_is_answered_as_documented_and_disturbs_nobody(trial: Trial) -> None:
    trial.script(gap_ms=30, tokens=60)
    neighbours = await trial.players(3)
    hearing = [asyncio.create_task(player.say()) for player in neighbours]
    chance = random.Random(SEED)
    for url in trial.stack.running.gateway_urls:
        await asyncio.gather(*(_talk_nonsense(url, random.Random(chance.random())) for _ in range(SOCKETS // 2)))
        for frame, code in CLOSED_FOR.values():
            assert await _close_code(url, frame) == code
    assert [one.state for one in await asyncio.gather(*hearing)] == ["done"] * 3


async def _talk_nonsense(url: str, chance: random.Random) -> None:
    async with connect(url, compression=None, max_size=None) as open_socket:
        for _ in range(FRAMES):
            frame = chance.choice(NONSENSE)
            await open_socket.send(frame)
            async with asyncio.timeout(ANSWER_SECONDS):
                answer: dict[str, Any] = orjson.loads(await open_socket.recv())
            assert "error" in answer, frame
            assert answer["error"]["code"] != INTERNAL_ERROR.code, (frame, answer)


async def _close_code(url: str, frame: str | bytes) -> int | None:
    async with connect(url, compression=None, max_size=None) as open_socket:
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012 - the frame may be taken before the close
            await open_socket.send(frame)
            async with asyncio.timeout(ANSWER_SECONDS):
                while True:
                    await open_socket.recv()
    return closed.value.rcvd.code if closed.value.rcvd else None


async def test_clients_that_do_not_read_are_cut_off_and_the_others_notice_nothing(trial: Trial) -> None:
    """Each stalled one asks for more than a megabyte, with a window of a few kilobytes, and reads nothing."""
    trial.script(default=Behaviour(text=("x" * 100 + " ") * 290), gap_ms=2)
    stack = trial.stack
    pid = stack.running.pids["gateway"]
    before, cut_before = resident_bytes(pid), await _closed_as_too_slow(stack)
    stalled = [
        [await trial.player(100 * number + place, stack.urls[:1]) for place in range(STREAMS_EACH)]
        for number in range(STALLED)
    ]
    asked = [[player.begin() for player in players] for players in stalled]
    sockets = [await _send_and_stall(trial, told) for told in asked]
    markers = {one.marker for told in asked for one in told}
    await stack.model.wait_until(lambda seen: markers <= {asked_marker(one) for one in seen.requests}, ANSWER_SECONDS)
    trial.script()
    good = [await trial.player(1000 + number, stack.urls[:1]) for number in range(5)]
    for _ in range(3):
        replies = await asyncio.gather(*(player.say() for player in good))
        assert [one.state for one in replies] == ["done"] * len(good)

    async def all_cut() -> bool:
        return await _closed_as_too_slow(stack) - cut_before >= STALLED

    await until(all_cut, CUT_SECONDS, pause_seconds=0.2)
    assert resident_bytes(pid) - before < 100_000_000
    for plug in sockets:
        plug.close()
    for players, told in zip(stalled, asked, strict=True):
        await asyncio.gather(*(player.hear(one) for player, one in zip(players, told, strict=True)))
        assert [one.state for one in told] == ["done"] * STREAMS_EACH


async def _send_and_stall(trial: Trial, told: list[Told]) -> socket.socket:
    """A socket past the proxy that has sent the messages by hand, and from which nobody reads."""
    host, port = trial.stack.address_of("gateway")
    plug = socket.socket()
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plug.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(plug, (host, port))
    protocol = ClientProtocol(parse_uri(f"ws://{host}:{port}/mcp"))
    protocol.send_request(protocol.connect())
    await loop.sock_sendall(plug, b"".join(protocol.data_to_send()))
    while not protocol.events_received():
        protocol.receive_data(await loop.sock_recv(plug, 4096))
    for number, one in enumerate(told):
        request = {"jsonrpc": "2.0", "id": number, "method": "persona.chat_stream", "params": one.params}
        protocol.send_text(orjson.dumps(request))
    await loop.sock_sendall(plug, b"".join(protocol.data_to_send()))
    return plug


async def _closed_as_too_slow(stack: FaultStack) -> float:
    host, port = stack.address_of("gateway")
    async with aiohttp.ClientSession() as http, http.get(f"http://{host}:{port}/metrics") as answer:
        text = await answer.text()
    return sum(float(value) for value in TOO_SLOW.findall(text))


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
