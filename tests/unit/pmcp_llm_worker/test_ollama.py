"""Lines as Ollama writes them, and what is made of them."""

from __future__ import annotations

import pytest
from aiohttp import ClientSession

from pmcp_llm_worker.deadline import Deadline
from pmcp_llm_worker.model import Generation, Message, ModelBroken, Patience, Prompt, Usage
from pmcp_llm_worker.ollama import OllamaClient, _Reading
from tests.unit.pmcp_llm_worker.doubles import SteppingClock

TOKEN = (
    b'{"model":"llama3.1:8b","created_at":"2026-01-05T08:12:31.482915Z",'
    b'"message":{"role":"assistant","content":" Well met"},"done":false}'
)
THOUGHT = (
    b'{"model":"qwen3:8b","created_at":"2026-01-05T08:12:31.482915Z",'
    b'"message":{"role":"assistant","content":"","thinking":"Okay, the user"},"done":false}'
)
THOUGHT_ONLY = b'{"model":"qwen3:8b","message":{"role":"assistant","thinking":"Hmm"},"done":false}'
LAST = (
    b'{"model":"llama3.1:8b","created_at":"2026-01-05T08:12:32.103915Z","message":{"role":"assistant","content":""},'
    b'"done_reason":"length","done":true,"total_duration":4883583458,"load_duration":1334875,'
    b'"prompt_eval_count":26,"prompt_eval_duration":342546000,"eval_count":282,"eval_duration":4535599000}'
)
LOADED = b'{"model":"llama3.1:8b","created_at":"2026-01-05T08:12:32.103915Z","done":true,"done_reason":"load"}'
ERROR = b'{"error":"an error was encountered while running the model: unexpected EOF"}'


def read(*lines: bytes) -> tuple[list[str], bool, Usage]:
    pieces: list[str] = []
    reading = _Reading(pieces.append, "asked")
    done = False
    read_line = reading.reader(Deadline(Patience()))
    for line in lines:
        done = read_line(line)
    return pieces, done, reading.usage()


async def test_text_and_counts_come_from_their_lines() -> None:
    pieces, done, usage = read(TOKEN, TOKEN, LAST)
    assert pieces == [" Well met", " Well met"]
    assert done
    assert usage == Usage("length", "llama3.1:8b", 26, 282)


async def test_thinking_is_not_said() -> None:
    pieces, done, _ = read(THOUGHT, THOUGHT_ONLY, b"", TOKEN)
    assert pieces == [" Well met"]
    assert not done


async def test_a_last_line_without_a_message_ends_the_reply() -> None:
    assert read(TOKEN, LOADED)[1]


@pytest.mark.parametrize("line", [ERROR, b"[1,2]", b"not json", b'{"unknown":1}'])
async def test_an_error_or_garbage_breaks_the_reply(line: bytes) -> None:
    with pytest.raises(ModelBroken):
        read(TOKEN, line)


async def test_thinking_is_off_and_both_caps_are_always_sent() -> None:
    async with ClientSession() as session:
        client = OllamaClient(session, "http://127.0.0.1:1/", "llama3.1:8b", SteppingClock())
        document = client._request(Prompt((Message("user", "Hi"),)), Generation(max_tokens=77, num_ctx=2048))
    assert document["think"] is False
    assert document["options"]["num_predict"] == 77
    assert document["options"]["num_ctx"] == 2048


async def test_a_missing_model_names_the_command_that_fetches_it() -> None:
    async with ClientSession() as session:
        client = OllamaClient(session, "http://127.0.0.1:1", "llama3.1:8b", SteppingClock())
        assert "ollama pull llama3.1:8b" in client._refusal(404, b"").message
