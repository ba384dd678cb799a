"""The fake model server as its clients meet it: both dialects, caps, markers and records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
import uvloop

from pmcp_common.testing.fake_model import FakeModelServer
from pmcp_common.testing.fake_model_script import DEFAULT_CHAT_MODEL, Behaviour, Kind, Script
from pmcp_common.testing.fake_model_wire import parse_call
from tests.unit.pmcp_common.model_clients import ask, model_client, ollama_lines, openai_events, said


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with model_client() as session:
        yield session


async def test_ollama_stream_has_role_stamp_counts_and_the_marker_first(client: aiohttp.ClientSession) -> None:
    async with FakeModelServer(Script.of(tokens=4)) as server:
        lines = await ollama_lines(client, server.url, ask("[[old]] then [[m-7]] end"))
    first, last = orjson.loads(lines[0]), orjson.loads(lines[-1])
    assert first["message"] == {"role": "assistant", "content": "[[m-7]]"}
    assert first["created_at"].endswith("Z")
    assert len(first["created_at"]) == len("2026-01-01T00:00:00.123456789Z")
    assert said(lines) == "[[m-7]] w1 w2 w3"
    assert (last["done"], last["done_reason"], last["eval_count"]) == (True, "stop", 4)
    assert last["total_duration"] >= last["prompt_eval_duration"] >= 0
    assert {"load_duration", "prompt_eval_count", "eval_duration"} <= set(last)


@pytest.mark.parametrize("text", ["[[a.10]] Remembers: [[a.9]]", "[[a.9]] and again [[a.10]]"])
def test_of_numbered_markers_the_highest_is_the_new_message(text: str) -> None:
    call = parse_call("/api/chat", orjson.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}))
    assert call.marker() == call.marker(answered={"[[a.10]]"}) == "[[a.10]]"


async def test_markers_of_older_messages_quoted_behind_the_new_one_are_not_taken_for_it(
    client: aiohttp.ClientSession,
) -> None:
    async with FakeModelServer(Script.of(Behaviour(), Behaviour(Kind.ERROR_LINE), tokens=1)) as server:
        await ollama_lines(client, server.url, ask("first [[k-1]]"))
        quoting = ask("second [[k-2]]\nYou remember: first [[k-1]]")
        await ollama_lines(client, server.url, quoting)  # broken off: not answered, so the retry means it again
        assert said(await ollama_lines(client, server.url, quoting)) == "[[k-2]]"


async def test_openai_stream_ends_with_finish_reason_usage_and_done(client: aiohttp.ClientSession) -> None:
    async with FakeModelServer(Script.of(tokens=3)) as server:
        body = ask(stream_options={"include_usage": True})
        events = await openai_events(client, server.url, body)
    parsed = [orjson.loads(event) for event in events[:-1]]
    text = "".join(item["choices"][0]["delta"]["content"] for item in parsed[:-1])
    assert text == "[[m-1]] w1 w2"
    assert parsed[0]["object"] == "chat.completion.chunk"
    assert parsed[-2]["choices"][0]["finish_reason"] == "stop"
    assert parsed[-1]["choices"] == []
    assert parsed[-1]["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    assert events[-1] == b"[DONE]"


async def test_openai_stream_has_no_usage_unless_asked(client: aiohttp.ClientSession) -> None:
    async with FakeModelServer(Script.of(tokens=1)) as server:
        events = await openai_events(client, server.url, ask())
    assert len(events) == 3
    assert b"usage" not in b"".join(events)


async def test_both_dialects_answer_whole_when_not_streaming(client: aiohttp.ClientSession) -> None:
    async with FakeModelServer(Script.of(tokens=2)) as server:
        async with client.post(f"{server.url}/api/chat", json=ask(stream=False)) as response:
            native = await response.json()
        async with client.post(f"{server.url}/v1/chat/completions", json=ask()) as response:
            compatible = await response.json()
    assert native["message"] == {"role": "assistant", "content": "[[m-1]] w1"}
    assert native["done"] is True
    assert compatible["choices"][0]["message"]["content"] == "[[m-1]] w1"
    assert compatible["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize(
    ("path", "cap"),
    [
        ("/api/chat", {"options": {"num_predict": 2}}),
        ("/v1/chat/completions", {"max_tokens": 2}),
        ("/v1/chat/completions", {"max_completion_tokens": 2}),
    ],
)
async def test_a_cap_is_obeyed_and_named_as_the_reason(
    client: aiohttp.ClientSession, path: str, cap: dict[str, Any]
) -> None:
    async with (
        FakeModelServer(Script.of(tokens=9)) as server,
        client.post(server.url + path, json=ask(stream=False, **cap)) as response,
    ):
        body = await response.json()
    reason = body.get("done_reason") or body["choices"][0]["finish_reason"]
    assert reason == "length"
    assert server.seen.tokens_sent == 2


async def test_a_negative_num_predict_means_no_cap(client: aiohttp.ClientSession) -> None:
    async with FakeModelServer(Script.of(tokens=3)) as server:
        lines = await ollama_lines(client, server.url, ask(options={"num_predict": -1}))
    assert orjson.loads(lines[-1])["done_reason"] == "stop"


async def test_the_catalogue_routes_speak_ollamas_shapes(client: aiohttp.ClientSession) -> None:
    async with FakeModelServer() as server:

        async def get(path: str) -> Any:
            async with client.get(server.url + path) as response:
                return await response.json()

        assert DEFAULT_CHAT_MODEL in [model["name"] for model in (await get("/api/tags"))["models"]]
        assert (await get("/api/ps"))["models"][0]["context_length"] > 0
        assert (await get("/api/version"))["version"]
        assert (await get("/v1/models"))["data"][0]["object"] == "model"
        async with client.post(f"{server.url}/api/show", json={"model": DEFAULT_CHAT_MODEL}) as response:
            assert "completion" in (await response.json())["capabilities"]


async def test_embeddings_are_unit_vectors_that_depend_on_the_text_only(client: aiohttp.ClientSession) -> None:
    async with FakeModelServer() as server:
        body = {"model": "all-minilm", "input": ["moon", "harp", "moon"]}
        async with client.post(f"{server.url}/api/embed", json=body) as response:
            moon, harp, again = (await response.json())["embeddings"]
    assert len(moon) == 384
    assert moon == again
    assert sum(value * value for value in moon) == pytest.approx(1.0)
    assert abs(sum(a * b for a, b in zip(moon, harp, strict=True))) < 0.3


@pytest.mark.parametrize("path", ["/api/chat", "/api/show", "/api/embed"])
async def test_an_unknown_model_is_a_404_in_ollamas_words(client: aiohttp.ClientSession, path: str) -> None:
    async with FakeModelServer() as server, client.post(server.url + path, json={"model": "nobody"}) as response:
        assert response.status == 404
        assert await response.json() == {"error": "model 'nobody' not found"}


async def test_a_body_that_is_no_request_is_a_400(client: aiohttp.ClientSession) -> None:
    async with FakeModelServer() as server:
        for body in (b"{", b"[]", b"{}", b'{"model":"llama3.1:8b","messages":3}'):
            async with client.post(f"{server.url}/api/chat", data=body) as response:
                assert response.status == 400
        async with client.post(f"{server.url}/v1/chat/completions", data=b"{}") as response:
            assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_obey_mode_says_what_any_part_of_the_prompt_tells_it(client: aiohttp.ClientSession) -> None:
    messages = [
        {"role": "system", "content": "Be kind.\nSAY: the password"},
        {"role": "user", "content": "hello"},
    ]
    async with FakeModelServer(Script.of(Behaviour(Kind.OBEY), Behaviour(Kind.OBEY), tokens=2)) as server:
        obeyed = await ollama_lines(client, server.url, ask() | {"messages": messages})
        plain = await ollama_lines(client, server.url, ask("nothing to obey"))
    assert said(obeyed) == "the password"
    assert said(plain) == "Hello w1"


async def test_the_record_keeps_prompts_up_to_its_limit(client: aiohttp.ClientSession) -> None:
    script = Script.of(tokens=1)
    script.record_limit = 2
    async with FakeModelServer(script) as server:
        for number in range(3):
            await ollama_lines(client, server.url, ask(f"message {number} [[k{number}]]"))
        async with client.get(f"{server.url}/fake/requests") as response:
            kept = (await response.json())["requests"]
    assert [item["marker"] for item in kept] == ["[[k1]]", "[[k2]]"]
    assert kept[0]["messages"][-1]["content"] == "message 1 [[k1]]"
    assert kept[0]["ended"] == "done"


async def test_stats_and_timings_report_the_servers_own_first_token_time(client: aiohttp.ClientSession) -> None:
    async with FakeModelServer(Script.of(Behaviour(ttft_ms=30.0), tokens=2)) as server:
        await ollama_lines(client, server.url, ask())
        async with client.get(f"{server.url}/fake/stats") as response:
            stats = await response.json()
        async with client.post(f"{server.url}/fake/timings") as response:
            (timing,) = (await response.json())["timings"]
    assert stats["completed"] == 1
    assert stats["tokens_sent"] == 2
    assert stats["requests"] == {"/api/chat": 1}
    assert 30.0 <= stats["ttft_ms"]["p50"] < 200.0
    assert timing["marker"] == "[[m-1]]"
    assert timing["ttft_ms"] >= 30.0


async def test_the_script_changes_at_run_time_and_refuses_what_it_does_not_know(
    client: aiohttp.ClientSession,
) -> None:
    async with FakeModelServer(Script.of(tokens=2)) as server:

        async def change(document: dict[str, Any]) -> int:
            async with client.post(f"{server.url}/fake/script", json=document) as response:
                return response.status

        assert await change({"tokens": 1, "queue": [{"text": "one two"}], "reset": True}) == 200
        assert said(await ollama_lines(client, server.url, ask())) == "one two"
        assert said(await ollama_lines(client, server.url, ask())) == "[[m-1]]"
        assert await change({"tokens": 7, "queue": [{"kind": "dance"}]}) == 400
        assert await change({"colour": "red"}) == 400
        assert server.script.tokens == 1


async def test_other_paths_can_misbehave_too(client: aiohttp.ClientSession) -> None:
    script = Script(by_path={"/api/embed": Behaviour(Kind.BUSY_503)})
    body = {"model": "all-minilm", "input": "x"}
    async with (
        FakeModelServer(script) as server,
        client.post(f"{server.url}/api/embed", json=body) as response,
    ):
        assert response.status == 503


async def test_tokens_keep_their_distance_in_time(client: aiohttp.ClientSession) -> None:
    async with FakeModelServer(Script.of(gap_ms=10.0, tokens=6)) as server:
        await ollama_lines(client, server.url, ask())
        (timing,) = server.seen.drain_timings()
    assert timing.total_ms - timing.ttft_ms >= 45.0


def test_it_serves_and_resets_on_uvloop_as_well() -> None:
    async def talk() -> None:
        async with (
            FakeModelServer(Script.of(Behaviour(), Behaviour(Kind.RESET), tokens=2)) as server,
            aiohttp.ClientSession() as client,
        ):
            assert said(await ollama_lines(client, server.url, ask())) == "[[m-1]] w1"
            with pytest.raises(aiohttp.ClientError):
                await ollama_lines(client, server.url, ask())

    uvloop.run(talk())
