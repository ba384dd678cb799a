"""A player talks to Aria through every process of the house, over the public protocol."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from typing import Any

import orjson
import pytest

import pmcp_client
from pmcp_common.testing.fake_model_script import Behaviour, Kind
from pmcp_common.testing.waiting import until
from tests.journey.conftest import MODEL, World, new_player, quick

AFTER_A_DEATH_SECONDS = 30.0


async def say(client: pmcp_client.Client, message: str, **params: Any) -> tuple[str, dict[str, Any]]:
    """The whole streamed reply and its end frame."""
    stream = await client.stream("persona.chat_stream", {"message": message, **params})
    text = await stream.text()
    assert stream.terminal is not None
    return text, stream.terminal


async def test_a_reply_streams_and_its_end_says_what_became_of_it(aria: pmcp_client.Client) -> None:
    text, end = await say(aria, "Hello, who are you?")
    assert text == end["full_response"]
    assert end["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert (end["state"], end["finish_reason"], end["response_type"]) == ("done", "stop", "direct")
    assert (end["persisted"], end["memory"], end["degraded"]) == (True, "ok", False)
    assert (end["model"], end["provider"]) == (MODEL, "ollama")
    assert end["tokens_used"] > 0
    assert 0 <= end["continue_score"] <= 100
    assert end["data"]["timings"]["pickup_ms"] >= 0


async def test_the_model_is_told_what_was_said_before(stack: World, aria: pmcp_client.Client) -> None:
    await say(aria, "My sister is called Elspeth Marrow.")
    await say(aria, "What is the weather like?")
    assert "Elspeth Marrow" in stack.prompts()[-1]


async def test_a_reply_in_one_piece_has_the_fields_of_the_original(aria: pmcp_client.Client) -> None:
    result = await aria.call("persona.chat", {"message": "Sing for me"})
    assert result["response"]
    assert result["response_type"] == "direct"
    assert set(result["persona_state"]) == {"social_energy", "available_time", "interaction_fatigue"}
    assert result["continue_score"] != 50.0


async def test_history_survives_another_socket_and_another_gateway(stack: World) -> None:
    player = new_player()
    for url, message in zip(stack.gateways, ["I left my lute in Tarn.", "Where was I?"], strict=True):
        async with pmcp_client.connect(url, player_id=player) as client:
            await client.call("persona.switch", {"persona_id": "Aria"})
            await say(client, message)
    assert "lute in Tarn" in stack.prompts()[-1]


async def test_one_player_never_reads_another_players_words(stack: World) -> None:
    secret = "the key lies under the third stone"
    for player, message in ((new_player(), f"Remember: {secret}"), (new_player(), "Where does the key lie?")):
        async with pmcp_client.connect(stack.gateways[0], player_id=player) as client:
            await client.call("persona.switch", {"persona_id": "aria"})
            await say(client, message)
            found = await client.call("memory.search", {"query": "Where does the key lie?"})
    assert secret not in stack.prompts()[-1]
    assert secret not in str(found)


async def test_a_memory_can_be_found_again(stack: World, aria: pmcp_client.Client) -> None:
    await say(aria, "My horse Bramble was born in the year of the comet.")

    async def search() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await aria.call("memory.search", {"query": "When was my horse born?"}))[
            "memories"
        ]
        return found

    memories = await until(search)
    assert "Bramble" in memories[0]["content"]
    status = await aria.call("persona.status", {})
    assert status["memory_stats"]["total_memories"] >= 1


async def test_two_personas_have_separate_conversations(stack: World, aria: pmcp_client.Client) -> None:
    await say(aria, "I am afraid of heights, Aria.")
    await aria.call("persona.switch", {"persona_id": "kira"})
    await say(aria, "Good day, Kira.")
    assert "afraid of heights" not in stack.prompts()[-1]


async def test_a_stream_blocks_nothing_on_its_socket(stack: World, aria: pmcp_client.Client) -> None:
    stack.script(quick(gap_ms=50, tokens=20))
    stream = await aria.stream("persona.chat_stream", {"message": "A long tale, please"})
    listed = await aria.call("persona.list", {})
    assert listed["total_count"] >= 2
    assert stream.terminal is None
    await stream.text()


async def test_a_cancelled_reply_ends_soon_and_closes_the_models_connection(
    stack: World, aria: pmcp_client.Client
) -> None:
    stack.script(quick(gap_ms=100, tokens=100))
    stream = await aria.stream("persona.chat_stream", {"message": "A very long tale"})
    pieces = aiter(stream)
    await anext(pieces)
    await stream.cancel()
    async with asyncio.timeout(2):
        async for _ in pieces:
            pass
    assert stream.terminal is not None
    assert stream.terminal["event_type"] == "stream_cancelled"
    await until(lambda: stack.call(lambda: stack.model.seen.live_generations == 0), timeout_seconds=2.0)


async def test_a_stream_begun_on_one_gateway_is_read_to_its_end_through_the_other(stack: World) -> None:
    stack.script(quick(gap_ms=20, tokens=30))
    async with pmcp_client.connect(stack.gateways[0]) as first:
        await first.call("persona.switch", {"persona_id": "aria"})
        stream = await first.stream("persona.chat_stream", {"message": "Tell me of the river road"})
        heard = await anext(aiter(stream))
    text, position = heard, stream.last_seq
    async with pmcp_client.connect(stack.gateways[1]) as second, asyncio.timeout(5):
        end = None
        while end is None:
            page = await second.call(
                "stream.read", {"stream_id": stream.stream_id, "epoch": stream.epoch, "after_seq": position}
            )
            for event in page["events"]:
                assert event["seq"] == position + 1
                position = event["seq"]
                text += event.get("chunk", "")
                end = event if event["event_type"] == "stream_complete" else None
            await asyncio.sleep(0.02)
    assert text == end["full_response"]


async def test_a_gateway_that_dies_takes_no_reply_with_it(stack: World) -> None:
    stack.script(quick(gap_ms=30, tokens=30))
    async with pmcp_client.connect(stack.gateways[1], reconnect=None) as client:
        await client.call("persona.switch", {"persona_id": "aria"})
        stream = await client.stream("persona.chat_stream", {"message": "Tell me of the sea"})
        pieces = aiter(stream)
        await anext(pieces)
        os.kill(stack.stack.pids["gateway-2"], signal.SIGKILL)
        with pytest.raises(pmcp_client.ConnectionLost):
            async for _ in pieces:
                pass
    async with pmcp_client.connect(stack.gateways[0]) as other, asyncio.timeout(5):
        state = ""
        while state != "done":
            page = await other.call("stream.read", {"stream_id": stream.stream_id, "after_seq": 0, "limit": 1000})
            state = page["state"]
            await asyncio.sleep(0.02)
    pieces_read = "".join(event.get("chunk", "") for event in page["events"])
    assert pieces_read == page["events"][-1]["full_response"]


async def test_a_worker_that_dies_leaves_a_reply_that_another_goes_on_with(stack: World) -> None:
    stack.script(quick(gap_ms=200, tokens=200))
    async with pmcp_client.connect(stack.gateways[0]) as client:
        await client.call("persona.switch", {"persona_id": "aria"})
        stream = await client.stream("persona.chat_stream", {"message": "An endless song"})
        pieces = aiter(stream)
        heard = await anext(pieces)
        for name, pid in stack.stack.pids.items():
            if name.startswith("worker"):
                os.kill(pid, signal.SIGKILL)
        stack.script(quick())
        async with asyncio.timeout(AFTER_A_DEATH_SECONDS):
            async for piece in pieces:
                heard += piece
    end = stream.terminal
    assert end is not None
    assert (end["state"], end["finish_reason"], end["attempt"]) == ("done", "stop", 2)
    assert end["full_response"] == heard
    assert end["sha256"] == hashlib.sha256(heard.encode()).hexdigest()
    assert heard.endswith("w11")
    assert heard.count("w1 ") == 1


@pytest.mark.parametrize("kind", [Kind.BUSY_503, Kind.MISSING_404, Kind.RESET])
async def test_without_a_model_a_line_in_character_says_that_it_is_canned(
    stack: World, aria: pmcp_client.Client, kind: Kind
) -> None:
    stack.script(quick(default=Behaviour(kind)))
    text, end = await say(aria, "Are you there?")
    assert text
    assert (end["response_type"], end["degraded"], end["model"]) == ("fallback", True, "")
    assert (end["state"], end["finish_reason"]) == ("done", "fallback")


async def test_system_models_names_the_model_that_answers(aria: pmcp_client.Client) -> None:
    await say(aria, "Hello")
    models = await aria.call("system.models", {})
    assert (models["current_model"], models["provider"], models["llm_available"]) == (MODEL, "ollama", True)
    assert MODEL in models["available_models"]
    status = await aria.call("system.status", {})
    assert (status["system_status"], status["llm_available"]) == ("operational", True)
    assert status["current_persona"] == (await aria.call("session.get_info", {}))["active_persona_id"]


async def test_one_request_id_goes_from_the_socket_to_the_model_and_no_words_are_logged(
    stack: World, aria: pmcp_client.Client
) -> None:
    words = f"words-{new_player()}"
    _, end = await say(aria, f"Please keep {words} out of the logs")

    def lines(part: str) -> list[dict[str, Any]]:
        text = (stack.stack.logs / f"{part}.log").read_bytes()
        assert words.encode() not in text
        return [orjson.loads(line) for line in text.splitlines() if line.startswith(b"{")]

    def ended() -> list[dict[str, Any]]:
        workers = [line for part in ("worker", "worker-2") for line in lines(part)]
        return [line for line in workers if line.get("job") == end["stream_id"] and line["event"] == "reply ended"]

    request = (await until(ended))[0]["request_id"]
    await until(lambda: [line for line in lines("gateway") if line.get("request_id") == request])
