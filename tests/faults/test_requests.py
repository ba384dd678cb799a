"""F9, F10 and F12: clients that do not read, that repeat themselves, and that talk nonsense."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from pmcp_common.contracts.errors import IDEMPOTENCY_CONFLICT, INTERNAL_ERROR
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
    async with connect(url, compression=None, max_size=None) as socket:
        for _ in range(FRAMES):
            frame = chance.choice(NONSENSE)
            await socket.send(frame)
            async with asyncio.timeout(ANSWER_SECONDS):
                answer: dict[str, Any] = orjson.loads(await socket.recv())
            assert "error" in answer, frame
            assert answer["error"]["code"] != INTERNAL_ERROR.code, (frame, answer)


async def _close_code(url: str, frame: str | bytes) -> int | None:
    async with connect(url, compression=None, max_size=None) as socket:
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012 - the frame may be taken before the close
            await socket.send(frame)
            async with asyncio.timeout(ANSWER_SECONDS):
                while True:
                    await socket.recv()
    return closed.value.rcvd.code if closed.value.rcvd else None


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
