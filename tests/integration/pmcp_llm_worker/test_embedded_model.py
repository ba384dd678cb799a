"""The small real model through its OpenAI endpoint: it streams, in character, with what was said before it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest

from pmcp_common.clock import SystemClock
from pmcp_common.contracts.memories import Role
from pmcp_llm_worker.line_stream import open_session
from pmcp_llm_worker.model import Generation, ModelMissing, Patience
from pmcp_llm_worker.openai_compat import OpenAICompatClient
from pmcp_llm_worker.prompt import PromptParts, assemble
from pmcp_llm_worker.seam import trim_seam
from pmcp_local.model import MODEL_NAME
from tests.unit.pmcp_llm_worker.doubles import NOW, aria, standing, turn

GENERATION = Generation(max_tokens=24, num_ctx=2048, temperature=0.0)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(connections=4) as session:
        yield session


@pytest.fixture
def client(session: aiohttp.ClientSession, embedded_model_url: str) -> OpenAICompatClient:
    return OpenAICompatClient(session, embedded_model_url, MODEL_NAME, SystemClock())


def parts(message: str, history: tuple[str, ...] = ()) -> PromptParts:
    roles = (Role.USER, Role.ASSISTANT)
    turns = [turn(number, roles[number % 2], text) for number, text in enumerate(history)]
    return PromptParts(aria(), standing(), None, turns, [], message, NOW)


async def test_the_model_is_found_by_its_name(client: OpenAICompatClient) -> None:
    report = await client.verify()
    assert report.ok
    assert MODEL_NAME in report.available_models


async def test_a_reply_is_streamed_in_character_and_counted(client: OpenAICompatClient) -> None:
    pieces: list[str] = []
    prompt = assemble(parts("Hello, who are you?"), 1000).prompt
    usage = await client.generate(prompt, GENERATION, Patience(), pieces.append)
    assert len(pieces) > 3
    assert "Aria" in "".join(pieces)
    assert usage.finish_reason in ("stop", "length")
    assert usage.output_tokens is not None
    assert 0 < usage.output_tokens <= GENERATION.max_tokens
    assert usage.model == MODEL_NAME


async def test_the_estimate_of_the_prompt_is_not_below_the_truth(client: OpenAICompatClient) -> None:
    history = ("Hello, who are you?", "I am Aria. 12345 + 67890 = ?", "Ça va? 你好 🌟", "Fine!") * 3
    assembled = assemble(parts("What did I just ask you?", history), 3000)
    usage = await client.generate(assembled.prompt, GENERATION, Patience(), lambda _: None)
    assert usage.prompt_tokens is not None
    assert usage.prompt_tokens <= assembled.tokens


async def test_what_was_said_before_reaches_the_model(client: OpenAICompatClient) -> None:
    """The same question gets another answer behind another history."""
    answers = []
    for history in ((), ("My name is Bo and I like tea.", "Nice to meet you, Bo.")):
        pieces: list[str] = []
        prompt = assemble(parts("What is my name?", history), 1000).prompt
        await client.generate(prompt, GENERATION, Patience(), pieces.append)
        answers.append("".join(pieces))
    assert answers[0] != answers[1]


async def test_an_unknown_name_is_reported_with_what_there_is(
    session: aiohttp.ClientSession, embedded_model_url: str
) -> None:
    report = await OpenAICompatClient(session, embedded_model_url, "no-such-model", SystemClock()).verify()
    assert not report.ok
    assert MODEL_NAME in report.reason
    assert issubclass(ModelMissing, Exception)


async def test_a_reply_that_broke_off_is_continued_as_if_it_had_not(client: OpenAICompatClient) -> None:
    """Sampling is off, so the continuation is the rest of the same reply, or a new beginning that the seam removes."""
    prompt = assemble(parts("Tell me about Silverglade."), 1000).prompt
    pieces: list[str] = []
    await client.generate(prompt, GENERATION, Patience(), pieces.append)
    whole, said = "".join(pieces), "".join(pieces[:10])
    rest: list[str] = []
    half = replace(GENERATION, max_tokens=14)
    await client.generate(replace(prompt, said=said), half, Patience(), rest.append)
    joined = said + trim_seam(said, "".join(rest))
    assert joined[: len(said) + 20] == whole[: len(said) + 20]
