"""What the clients that exist do, frame by frame: bots, the persona creator, terminal clients."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection

from pmcp_common.testing.fake_model_script import Behaviour
from tests.journey.conftest import World, new_player, quick
from tests.journey.wire import Frame, ask, raw_socket


async def receive(socket: ClientConnection) -> Frame:
    """The next frame, whosever it is: some clients match no ids."""
    frame: Frame = orjson.loads(await socket.recv())
    return frame


async def send(socket: ClientConnection, **request: Any) -> None:
    await socket.send(orjson.dumps({"jsonrpc": "2.0", **request}).decode())


async def result(socket: ClientConnection, method: str, params: Any) -> dict[str, Any]:
    (frame,) = await ask(socket, {"jsonrpc": "2.0", "id": method, "method": method, "params": params})
    assert "error" not in frame, frame
    found: dict[str, Any] = frame["result"]
    return found


def prompt_of(stack: World, name: str) -> str:
    """The newest one in which the model is to be this persona."""
    return next(prompt for prompt in reversed(stack.prompts()) if f"You are {name}." in prompt)


async def test_the_universal_bot_switches_speaks_and_pings(stack: World) -> None:
    async with raw_socket(stack.gateways[0]) as socket:
        personas = (await result(socket, "persona.list", {}))["personas"]
        kira = next(one["id"] for one in personas if one["name"] == "Kira")
        await send(socket, method="persona.switch", params={"persona_id": kira}, id="init_persona")
        switched = await receive(socket)
        assert "error" not in switched  # it tests the presence of the key
        assert switched["id"] == "init_persona"
        sender = f"@{new_player()}:localhost"
        params = {"content": "Good evening, Kira", "sender": sender, "room_id": "!tavern:localhost"}
        await send(socket, method="conversation.send_message", params=params, id=f"msg_{int(time.time())}")
        answered = await receive(socket)
        assert "error" not in answered
        assert answered["result"]["response"]
        await (await socket.ping())
        history = await result(socket, "conversation.get_history", {"sender": sender})
        assert [(one["sender"], one["content"]) for one in history["messages"]] == [(sender, "Good evening, Kira")]


async def test_two_messages_of_one_second_share_their_id_and_are_answered_in_turn(stack: World) -> None:
    stack.script(quick())
    stack.call(lambda: stack.model.script.push([Behaviour(text="The first."), Behaviour(text="The second.")]))
    async with raw_socket(stack.gateways[0]) as socket:
        await result(socket, "persona.switch", {"persona_id": "aria"})
        number = f"msg_{int(time.time())}"
        for text, who in (("One?", "ann"), ("Two?", "bob")):
            params = {"content": text, "sender": f"@{who}-{new_player()}:localhost", "room_id": "!r:localhost"}
            await send(socket, method="conversation.send_message", params=params, id=number)
        answers = [await receive(socket), await receive(socket)]
        assert [answer["id"] for answer in answers] == [number, number]
        assert [answer["result"]["response"] for answer in answers] == ["The first.", "The second."]


async def test_both_ways_of_telling_an_error_work(stack: World) -> None:
    """Older clients ask whether `error` is not None, others whether the key is there."""
    async with raw_socket(stack.gateways[0]) as socket:
        await send(socket, method="persona.list", id="1")
        good = await receive(socket)
        await send(socket, method="persona.switch", params={"persona_id": "nobody"}, id="2")
        bad = await receive(socket)
    for reply, failed in ((good, False), (bad, True)):
        assert (reply.get("error") is not None) is failed
        assert ("error" in reply) is failed
        assert (reply.get("result") is None) is failed
    assert "Persona not found: nobody" in bad["error"]["message"]
    assert "Internal error: " in bad["error"]["data"]["detail"]


@pytest.mark.parametrize("params", [None, {}, {"websocket_id": "conn_1"}])
@pytest.mark.parametrize("number", ["1", 1, 2**40])
async def test_params_may_be_null_and_ids_texts_or_numbers(stack: World, params: Any, number: Any) -> None:
    async with raw_socket(stack.gateways[0]) as socket:
        (frame,) = await ask(socket, {"id": number, "method": "persona.list", "params": params})
    assert frame["result"]["total_count"] >= 2
    assert type(frame["id"]) is type(number)


async def test_the_persona_bot_creates_with_what_it_knows_and_switches_by_the_id_it_got(stack: World) -> None:
    name = f"Bert {new_player()}"
    async with raw_socket(stack.gateways[0]) as socket:
        (missing,) = await ask(socket, {"id": "s", "method": "persona.switch", "params": {"persona_id": name.lower()}})
        assert "Persona not found" in missing["error"]["message"]
        created = await result(
            socket,
            "persona.create",
            {
                "name": name,
                "full_name": "Bert the Baker",
                "description": "A baker.",
                "background": "Grew up among ovens.",
                "speaking_style": "Short and floury.",
                "interests": ["bread", "pies"],
                "personality_traits": {"temper": "gentle", "humour": "dry"},
            },
        )
        await result(socket, "persona.switch", {"persona_id": created["persona_id"]})
        said = await result(socket, "persona.chat", {"message": "What is fresh?", "token_budget": 150})
    assert said["response"]
    assert isinstance(said["processing_time"], float)
    told = prompt_of(stack, name)
    for words in ("Bert the Baker", "among ovens", "Short and floury", "bread, pies", "temper: gentle", "humour: dry"):
        assert words in told


@pytest.mark.parametrize(
    ("traits", "told", "untold"),
    [
        ({"friendliness": 9, "curiosity": 6, "helpfulness": 8, "humor": 1}, "friendliness", "curiosity"),
        ({"openness": 0.9, "conscientiousness": 0.5, "extraversion": 0.1}, "openness", "conscientiousness"),
        ({"warm": 90, "patient": 55}, "warm", "patient"),
        ({"openness": "high", "temper": "slow to anger"}, "temper: slow to anger", "shy"),
    ],
)
async def test_traits_of_every_scale_make_a_character(
    stack: World, traits: dict[str, Any], told: str, untold: str
) -> None:
    name = f"Tess {new_player()}"
    async with raw_socket(stack.gateways[0]) as socket:
        created = await result(socket, "persona.create", {"name": name, "personality_traits": traits})
        found = await result(socket, "persona.get", {"persona_id": created["persona_id"]})
        assert found["persona"]["personality_traits"] == traits
        await result(socket, "persona.chat", {"message": "Hello", "persona_id": created["persona_id"]})
    prompt = prompt_of(stack, name)
    assert told in prompt
    assert untold not in prompt


async def test_a_stream_client_reads_the_payload_in_either_place(stack: World) -> None:
    async with raw_socket(stack.gateways[0]) as socket:
        await result(socket, "persona.switch", {"persona_id": "ARIA"})
        frames = await ask(socket, {"id": "s1", "method": "persona.chat_stream", "params": {"message": "A song"}})
    assert {frame["id"] for frame in frames} == {"s1"}
    assert all("result" in frame for frame in frames)
    inner = "".join(frame["result"]["data"].get("chunk", "") for frame in frames)
    outer = "".join(frame["result"].get("chunk", "") for frame in frames)
    end = frames[-1]["result"]
    assert inner == outer == end["full_response"] == end["data"]["full_response"]
    assert (end["tokens_used"], end["processing_time"]) == (end["data"]["tokens_used"], end["data"]["processing_time"])
    assert all(frame["result"]["timestamp"].endswith("Z") for frame in frames)
