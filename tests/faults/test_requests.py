"""F9, F10 and F12: clients that do not read, that repeat themselves, and that talk nonsense."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.uri import parse_uri

from bench.soak.figures import nearest_rank
from bench.soak.holdings import asked_marker
from bench.soak.player import Player
from bench.soak.told import Told
from pmcp_common.contracts.closing import BAD_FRAME, INVALID_UTF8, TOO_BIG, UNSUPPORTED_DATA
from pmcp_common.contracts.errors import (
    IDEMPOTENCY_CONFLICT,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    STREAM_NOT_FOUND,
    ErrorCode,
)
from pmcp_common.contracts.frames import CHUNK, COMPLETE, START
from pmcp_common.testing.fake_model_record import Recorder
from pmcp_common.testing.fake_model_script import Behaviour
from tests.faults.conftest import SEED, Trial

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLIENTS = 100, 200
"""In the short and in the long form, as everything below."""
SOCKETS, FRAMES = 50, (80, 200)
"""All open at once, and what each of them sends."""
ANSWER_SECONDS = 20.0
NONSENSE: dict[str, ErrorCode] = {
    "": PARSE_ERROR,
    "{": PARSE_ERROR,
    "1e999": PARSE_ERROR,
    "NaN": PARSE_ERROR,
    "[" * 2000 + "]" * 2000: PARSE_ERROR,
    "null": INVALID_REQUEST,
    "[]": INVALID_REQUEST,
    "[1,2,3]": INVALID_REQUEST,
    '"text"': INVALID_REQUEST,
    "{}": INVALID_REQUEST,
    '{"a":' * 500 + "1" + "}" * 500: INVALID_REQUEST,
    '{"jsonrpc":"1.0","id":1,"method":"persona.list"}': INVALID_REQUEST,
    '{"jsonrpc":"2.0","id":{"a":1},"method":"persona.list"}': INVALID_REQUEST,
    '{"jsonrpc":"2.0","id":1,"method":7}': INVALID_REQUEST,
    '{"jsonrpc":"2.0","id":2,"method":"persona.list","params":"x"}': INVALID_PARAMS,
    '{"jsonrpc":"2.0","id":3,"method":"no.such.method"}': METHOD_NOT_FOUND,
    '{"jsonrpc":"2.0","id":4,"method":"persona.chat_stream","params":{"message":7}}': INVALID_PARAMS,
    '{"jsonrpc":"2.0","id":5,"method":"persona.chat_stream","params":{"message":""}}': INVALID_PARAMS,
    '{"jsonrpc":"2.0","id":6,"method":"stream.read","params":{"stream_id":"x","after_seq":-1}}': INVALID_PARAMS,
    '{"jsonrpc":"2.0","id":7,"method":"stream.read","params":{"stream_id":"x","after_seq":9223372036854775808}}': (
        INVALID_PARAMS
    ),
    '{"jsonrpc":"2.0","id":8,"method":"stream.cancel","params":{"stream_id":"' + "y" * 1000 + '"}}': INVALID_PARAMS,
    '{"jsonrpc":"2.0","id":9,"method":"persona.list","params":{"player_id":"\\u0000"}}': INVALID_PARAMS,
    '{"jsonrpc":"2.0","id":10,"method":"stream.cancel","params":{"stream_id":"nobody\'s"}}': STREAM_NOT_FOUND,
}
"""Each frame with the error it is documented to get (docs/protocol.md)."""
MALFORMED_IN_A_ROW = 100
"""Then the socket is closed."""
NEIGHBOUR_FACTOR, NEIGHBOUR_SECONDS = 2.0, 0.25
"""Neighbours are unaffected: 95 in 100 of their replies take at most so many times what they took alone, and so many
seconds more."""
STALLED, GOOD = (4, 50), (5, 100)
STREAMS_EACH = 12
CUT_SECONDS = 10.0
"""With 1 MB waiting, or after that."""
WRITING_SECONDS = 20.0, 60.0
"""What two busy cores need to make so much text; a socket may be cut only when it waits."""
MORE_MEMORY_MB = 100.0
TOO_SLOW = 'pmcp_gateway_closed_total{code="4010"}'
CLOSED_FOR: dict[str, tuple[Sequence[str | bytes], int]] = {
    "a binary frame": ([b"\x00\x01"], UNSUPPORTED_DATA.code),
    "too large a frame": (["x" * (300 * 1024)], TOO_BIG.code),
    "malformed frames in a row": (["{"] * MALFORMED_IN_A_ROW, BAD_FRAME.code),
}


async def test_one_key_from_many_clients_is_one_reply(trial: Trial) -> None:
    key, marker, owner = f"{trial.name}-key", f"[[{trial.name}.1]]", f"{trial.name}-owner"
    clients = trial.size.of(*CLIENTS)
    players = await trial.players(clients, player=owner)
    told = [player.begin(key=key, marker=marker) for player in players]
    await asyncio.gather(*(player.hear(one) for player, one in zip(players, told, strict=True)))
    assert {(one.stream, one.message_id, one.text, one.state) for one in told} == {
        (told[0].stream, told[0].message_id, told[0].text, "done")
    }
    other = await (await trial.player(clients, player=owner)).say("Something else.", key=key)
    assert other.end is not None
    assert other.end["code"] == IDEMPOTENCY_CONFLICT.code
    same = len({one.stream for one in told})
    trial.measured("F10", f"{clients} clients with one key: replies made", [same], 1, unit="")


async def test_nonsense_is_answered_as_documented_and_disturbs_nobody(trial: Trial) -> None:
    """10,000 frames on 50 sockets in the long form."""
    frames = trial.size.of(*FRAMES)
    neighbours = await trial.players(6)
    alone = await _good_replies(neighbours)
    beside: list[float] = []
    async with AsyncExitStack() as held:
        urls = itertools.islice(itertools.cycle(trial.stack.running.gateway_urls), SOCKETS)
        plugs = [await held.enter_async_context(connect(url, compression=None, max_size=None)) for url in urls]
        talking = asyncio.gather(
            *(_talk_nonsense(plug, random.Random(f"{SEED}.{number}"), frames) for number, plug in enumerate(plugs))
        )
        while not talking.done():
            beside += await _good_replies(neighbours)
        seen = Counter[str](itertools.chain.from_iterable(await talking))
    assert seen.keys() == NONSENSE.keys()
    for url in trial.stack.running.gateway_urls:
        for sent, code in CLOSED_FOR.values():
            assert await _close_code(url, sent) == code
    _unaffected(trial, "F12", f"{SOCKETS * frames} malformed frames on {SOCKETS} sockets", alone, beside)


def _unaffected(trial: Trial, fault: str, beside_what: str, alone: list[float], beside: list[float]) -> None:
    trial.measured(fault, f"{len(alone)} neighbours alone: a whole reply", alone)
    bound = NEIGHBOUR_FACTOR * nearest_rank(sorted(alone), 0.95) + NEIGHBOUR_SECONDS
    trial.measured(fault, f"neighbours beside {beside_what}: a whole reply", beside, bound, share=0.95)


async def _talk_nonsense(plug: ClientConnection, chance: random.Random, frames: int) -> list[str]:
    """What was sent."""
    sent = chance.choices(list(NONSENSE), k=frames)
    for frame in sent:
        await plug.send(frame)
        async with asyncio.timeout(ANSWER_SECONDS):
            answer: dict[str, Any] = orjson.loads(await plug.recv())
        assert answer.get("error", {}).get("code") == NONSENSE[frame].code, (frame, answer)
    return sent


async def _close_code(url: str, frames: Sequence[str | bytes]) -> int | None:
    async with connect(url, compression=None, max_size=None) as plug:
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012 - the frames may be taken before the close
            for frame in frames:
                await plug.send(frame)
            async with asyncio.timeout(ANSWER_SECONDS):
                while True:
                    await plug.recv()
    return closed.value.rcvd.code if closed.value.rcvd else None


async def test_text_that_is_no_utf8_closes_the_socket(trial: Trial) -> None:
    plug, protocol = await _connected(trial)
    protocol.send_text(b'{"jsonrpc":"2.0","id":1,"method":"persona.list","params":{"player_id":"\xff\xfe"}}')
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(plug, b"".join(protocol.data_to_send()))
    async with asyncio.timeout(ANSWER_SECONDS):
        while protocol.close_rcvd is None:
            protocol.receive_data(await loop.sock_recv(plug, 4096))
    assert protocol.close_rcvd.code == INVALID_UTF8.code


async def test_two_requests_in_flight_with_one_id_are_each_answered(trial: Trial) -> None:
    trial.script(gap_ms=30)
    params = {"message": "Once.", "persona_id": "aria", "player_id": trial.name}
    ask = orjson.dumps({"jsonrpc": "2.0", "id": "same", "method": "persona.chat_stream", "params": params}).decode()
    kinds: list[str] = []
    async with connect(trial.stack.running.gateway_urls[0], compression=None) as both, asyncio.timeout(ANSWER_SECONDS):
        await both.send(ask)
        await both.send(ask)
        while kinds.count(COMPLETE) < 2:
            frame = orjson.loads(await both.recv())
            kinds.append(frame["result"]["event_type"] if "result" in frame else str(frame["error"]["code"]))
    assert (kinds.count(START), kinds.count(COMPLETE)) == (2, 2)
    assert set(kinds) == {START, CHUNK, COMPLETE}


async def test_clients_that_do_not_read_are_cut_off_and_the_others_notice_nothing(trial: Trial) -> None:
    """Each stalled one asks for more than a megabyte, with a window of a few kilobytes, and reads nothing."""
    count, neighbours = trial.size.of(*STALLED), trial.size.of(*GOOD)
    stack = trial.stack
    good = await trial.players(neighbours, urls=stack.urls[:1])
    alone = await _good_replies(good)
    trial.script(default=Behaviour(text=("x" * 100 + " ") * 290), gap_ms=2)
    pid = stack.running.pids["gateway"]
    before, cut_before = resident_mb(pid), await stack.metric("gateway", TOO_SLOW)
    stalled = [await trial.players(STREAMS_EACH, urls=stack.urls[:1]) for _ in range(count)]
    asked = [[player.begin() for player in players] for players in stalled]
    first = len(stack.model.seen.requests)
    sockets = [await _send_and_stall(trial, told) for told in asked]
    markers = {one.marker for told in asked for one in told}
    started = partial(_all_asked, markers, first)
    await stack.model.wait_until(started, trial.size.of(*WRITING_SECONDS))
    started_at, largest = time.monotonic(), before
    trial.script()
    beside = await _good_replies(good) + await _good_replies(good)
    while await stack.metric("gateway", TOO_SLOW) - cut_before < count:
        largest = max(largest, resident_mb(pid))
        await asyncio.sleep(0.2)
        assert time.monotonic() - started_at < CUT_SECONDS + trial.size.of(*WRITING_SECONDS)
    cut = f"{count} stalled readers of 1 MB: the last one cut"
    trial.measured("F9", cut, [time.monotonic() - started_at], CUT_SECONDS)
    trial.measured("F9", "stalled readers: more memory", [largest - before], MORE_MEMORY_MB, unit="MB")
    _unaffected(trial, "F9", f"{count} stalled readers", alone, beside)
    for plug in sockets:
        plug.close()
    for players, told in zip(stalled, asked, strict=True):
        await asyncio.gather(*(player.hear(one) for player, one in zip(players, told, strict=True)))
        assert [one.state for one in told] == ["done"] * STREAMS_EACH


def _all_asked(markers: set[str], first: int, seen: Recorder) -> bool:
    """Among the calls after the `first` ones."""
    if len(seen.requests) - first < len(markers):
        return False
    return markers <= {asked_marker(one) for one in itertools.islice(seen.requests, first, None)}


async def _good_replies(good: Sequence[Player]) -> list[float]:
    told = await asyncio.gather(*(player.say() for player in good))
    assert [one.state for one in told] == ["done"] * len(good)
    return [one.ended_at - one.sent_at for one in told if one.ended_at is not None]


async def _connected(trial: Trial) -> tuple[socket.socket, ClientProtocol]:
    """A WebSocket past the proxy, by hand: what it sends is anything, and nobody reads for it."""
    host, port = trial.stack.address_of("gateway")
    plug = trial.held.enter_context(socket.socket())
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plug.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(plug, (host, port))
    protocol = ClientProtocol(parse_uri(f"ws://{host}:{port}/mcp"))
    protocol.send_request(protocol.connect())
    await loop.sock_sendall(plug, b"".join(protocol.data_to_send()))
    while not protocol.events_received():
        protocol.receive_data(await loop.sock_recv(plug, 4096))
    return plug, protocol


async def _send_and_stall(trial: Trial, told: list[Told]) -> socket.socket:
    """A socket that has sent the messages by hand, and from which nobody reads."""
    plug, protocol = await _connected(trial)
    for number, one in enumerate(told):
        request = {"jsonrpc": "2.0", "id": number, "method": "persona.chat_stream", "params": one.params}
        protocol.send_text(orjson.dumps(request))
    await asyncio.get_running_loop().sock_sendall(plug, b"".join(protocol.data_to_send()))
    return plug


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6
