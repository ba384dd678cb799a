"""Events as OpenAI-compatible servers write them, and what is made of them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from pmcp_llm_worker.deadline import Deadline
from pmcp_llm_worker.model import (
    Generation,
    Message,
    ModelAway,
    ModelBroken,
    ModelMissing,
    Patience,
    Prompt,
    Usage,
)
from pmcp_llm_worker.openai_compat import OpenAICompatClient, _Reading
from tests.unit.pmcp_llm_worker.doubles import SteppingClock

ROLE = b'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"model":"m"}'
TOKEN = b'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"Well met"}}],"model":"m"}'
THOUGHT = b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"Hmm","reasoning":"Hmm"}}],"model":"m"}'
FINISH = b'data: {"choices":[{"finish_reason":"length","index":0,"delta":{}}],"model":"real-name"}\r'
USAGE = b'data: {"choices":[],"usage":{"completion_tokens":9,"prompt_tokens":55,"total_tokens":64}}'
DONE = b"data: [DONE]"


def read(*lines: bytes) -> tuple[list[str], bool, bool, Usage]:
    pieces: list[str] = []
    reading = _Reading(pieces.append, "asked")
    done = False
    read_line = reading.reader(Deadline(Patience()))
    for line in lines:
        done = read_line(line)
    return pieces, done, reading.is_whole(), reading.usage()


async def test_text_and_counts_come_from_their_events() -> None:
    pieces, done, _, usage = read(ROLE, b"", TOKEN, b"", b": ping", TOKEN, FINISH, USAGE, DONE)
    assert pieces == ["Well met", "Well met"]
    assert done
    assert usage == Usage("length", "real-name", 55, 9)


async def test_reasoning_is_not_said() -> None:
    assert read(THOUGHT, TOKEN)[0] == ["Well met"]


async def test_a_reply_is_whole_once_its_finish_reason_came() -> None:
    assert not read(TOKEN)[2]
    assert read(TOKEN, FINISH)[2]


@pytest.mark.parametrize(
    "line",
    [
        b'data: {"error":{"message":"boom","code":500}}',
        b'error: {"message":"boom"}',
        b'{"error":"boom"}',
        b"data: nonsense",
        b'data: {"unknown":1}',
    ],
)
async def test_an_error_or_garbage_breaks_the_reply(line: bytes) -> None:
    with pytest.raises(ModelBroken):
        read(TOKEN, line)


async def test_the_key_is_sent_and_the_caps_too() -> None:
    async with ClientSession() as session:
        client = OpenAICompatClient(session, "http://127.0.0.1:1/v1/", "m", SteppingClock(), "secret")
        document = client._request(Prompt((Message("user", "Hi"),)), Generation(max_tokens=77, num_ctx=2048))
    assert client._headers["Authorization"] == "Bearer secret"
    assert client._url == "http://127.0.0.1:1"
    assert document["max_tokens"] == 77
    assert document["stream_options"] == {"include_usage": True}


async def test_a_wrong_address_is_not_taken_for_a_missing_model() -> None:
    async with ClientSession() as session:
        client = OpenAICompatClient(session, "http://127.0.0.1:1", "m", SteppingClock())
        assert isinstance(client._refusal(404, b"<html>"), ModelAway)
        assert isinstance(client._refusal(404, b'{"error":{"message":"no model"}}'), ModelMissing)


@pytest.mark.parametrize("status", [400, 422])
async def test_a_server_that_continues_nothing_is_told_in_words_to_go_on(status: int) -> None:
    asked: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(orjson.loads(await request.read()))
        if asked[-1]["messages"][-1]["role"] == "assistant":
            return web.Response(status=status, body=b'{"error":{"message":"the last message must be a user\'s"}}')
        return web.Response(body=b"\n\n".join((TOKEN, FINISH, DONE, b"")), content_type="text/event-stream")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    pieces: list[str] = []
    async with TestServer(app) as server, ClientSession() as session:
        client = OpenAICompatClient(session, str(server.make_url("")), "m", SteppingClock())
        prompt = Prompt((Message("user", "Hi"),), said="Well")
        await client.generate(prompt, Generation(max_tokens=9, num_ctx=2048), Patience(), pieces.append)
    assert pieces == ["Well met"]
    assert asked[0]["continue_final_message"] is True
    assert [message["role"] for message in asked[1]["messages"]] == ["user", "assistant", "user"]
    assert "continue_final_message" not in asked[1]
