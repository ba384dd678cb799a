"""What a client of the library sees while gateways die and stop under it: a pause, and the whole reply."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import signal
from typing import Any

import pytest

import pmcp_client
from pmcp_common.testing.waiting import until
from tests.journey.conftest import World, new_player, quick

BACK_SECONDS = 60.0  # a restart waits up to 8 s, and the back-off of the client up to 30


async def gateways_stand(stack: World) -> None:
    """A gateway that an earlier test ended has been started again."""

    async def answers(url: str) -> bool:
        try:
            async with pmcp_client.connect(url, reconnect=None):
                return True
        except (OSError, pmcp_client.ClientError):
            return False

    for url in stack.gateways:
        await until(functools.partial(answers, url), BACK_SECONDS)


@pytest.fixture
async def steady(stack: World) -> World:
    await gateways_stand(stack)
    stack.script(quick(gap_ms=30, tokens=40))
    return stack


def is_whole(stream: pmcp_client.ReplyStream, text: str) -> dict[str, Any]:
    end = stream.terminal
    assert end is not None
    assert end["full_response"] == text
    assert end["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert text.endswith("w39")
    assert (end["state"], end["attempt"]) == ("done", 1)
    return end


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_stream_goes_on_through_the_other_gateway_when_its_own_ends(steady: World, number: int) -> None:
    urls = [steady.gateways[1], steady.gateways[0]]
    async with pmcp_client.connect(urls, player_id=new_player()) as client, asyncio.timeout(BACK_SECONDS):
        await client.call("persona.switch", {"persona_id": "aria"})
        stream = await client.stream("persona.chat_stream", {"message": "Tell me of the sea"})
        pieces = aiter(stream)
        text = await anext(pieces)
        os.kill(steady.stack.pids["gateway-2"], number)
        async for piece in pieces:
            text += piece
        is_whole(stream, text)
        assert client.reconnects == 1
        info = await client.call("session.get_info")
        assert (info["active_persona_name"], info["message_count"]) == ("Aria", 1)


async def test_a_stream_goes_on_when_the_only_gateway_it_knows_comes_back(steady: World) -> None:
    async with pmcp_client.connect(steady.gateways[1], player_id=new_player()) as client:
        await client.call("persona.switch", {"persona_id": "aria"})
        stream = await client.stream("persona.chat_stream", {"message": "Tell me of the hills"})
        pieces = aiter(stream)
        text = await anext(pieces)
        os.kill(steady.stack.pids["gateway-2"], signal.SIGKILL)
        async with asyncio.timeout(BACK_SECONDS):
            async for piece in pieces:
                text += piece
        is_whole(stream, text)


async def test_many_streams_and_calls_survive_the_death_of_their_gateway(steady: World) -> None:
    steady.script(quick(gap_ms=30, tokens=40))
    urls = [steady.gateways[1], steady.gateways[0]]

    async def talk(number: int) -> None:
        async with pmcp_client.connect(urls, player_id=new_player()) as client:
            await client.call("persona.switch", {"persona_id": "aria"})
            stream = await client.stream("persona.chat_stream", {"message": f"Tale {number}, please"})
            is_whole(stream, await stream.text())
            result = await client.call("persona.chat", {"message": "And in one piece"})
            assert result["response"].endswith("w39")
            assert (await client.call("session.get_info"))["message_count"] == 2

    async def kill() -> None:
        await asyncio.sleep(0.7)  # while they talk
        os.kill(steady.stack.pids["gateway-2"], signal.SIGKILL)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(kill())
        for number in range(12):
            group.create_task(talk(number))
