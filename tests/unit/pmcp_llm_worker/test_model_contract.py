"""What `chat_turn` may rely on, whichever dialect the model server speaks: both adapters against the fake server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest

from pmcp_common.testing.fake_model import FakeModelServer
from pmcp_common.testing.fake_model_script import Behaviour, Kind, Script
from pmcp_llm_worker.line_stream import open_session
from pmcp_llm_worker.model import (
    Generation,
    Message,
    ModelAway,
    ModelBroken,
    ModelBusy,
    ModelClient,
    ModelError,
    ModelMissing,
    ModelStalled,
    Patience,
    Prompt,
    Usage,
)
from pmcp_llm_worker.ollama import OllamaClient
from pmcp_llm_worker.openai_compat import OpenAICompatClient
from tests.unit.pmcp_llm_worker.doubles import SteppingClock

PROMPT = Prompt((Message("system", "You are Aria."), Message("user", "Say [[marker-7]] please")))
GENERATION = Generation(max_tokens=50, num_ctx=2048)
PATIENCE = Patience(first_token=2.0, idle=2.0, total=4.0)
SHORT = 0.05


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(connections=10) as session:
        yield session


@pytest.fixture
async def server() -> AsyncIterator[FakeModelServer]:
    async with FakeModelServer(Script.of()) as server:
        yield server


@pytest.fixture(params=["ollama", "openai"])
def client(request: pytest.FixtureRequest, session: aiohttp.ClientSession, server: FakeModelServer) -> ModelClient:
    if request.param == "ollama":
        return OllamaClient(session, server.url, "llama3.1:8b", SteppingClock())
    return OpenAICompatClient(session, server.url, "llama3.1:8b", SteppingClock())


class Reply:
    """What came out of one call."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.came = asyncio.Event()

    def take(self, piece: str) -> None:
        self.pieces.append(piece)
        self.came.set()

    @property
    def text(self) -> str:
        return "".join(self.pieces)


async def generate(client: ModelClient, patience: Patience = PATIENCE, cap: int = 50) -> tuple[Reply, Usage]:
    reply = Reply()
    async with asyncio.timeout(5):
        usage = await client.generate(PROMPT, replace(GENERATION, max_tokens=cap), patience, reply.take)
    return reply, usage


async def fail(
    client: ModelClient, server: FakeModelServer, behaviour: Behaviour, patience: Patience = PATIENCE
) -> tuple[Reply, ModelError]:
    server.script = Script.of(behaviour)
    reply = Reply()
    with pytest.raises(ModelError) as caught:
        async with asyncio.timeout(5):
            await client.generate(PROMPT, GENERATION, patience, reply.take)
    return reply, caught.value


async def test_a_reply_arrives_whole_with_its_usage(client: ModelClient, server: FakeModelServer) -> None:
    reply, usage = await generate(client)
    assert "marker-7" in reply.text
    assert (usage.finish_reason, usage.model, usage.output_tokens) == ("stop", "llama3.1:8b", 5)
    assert usage.prompt_tokens is not None


async def test_the_cap_is_sent_and_a_cut_reply_says_so(client: ModelClient, server: FakeModelServer) -> None:
    _, usage = await generate(client, cap=3)
    assert usage.finish_reason == "length"
    assert usage.output_tokens == 3


async def test_the_prompt_arrives_in_its_order(client: ModelClient, server: FakeModelServer) -> None:
    await generate(client)
    seen = server.seen.requests[-1].messages
    assert [(m["role"], m["content"]) for m in seen] == [(m.role, m.content) for m in PROMPT.messages]


async def test_the_connection_serves_the_next_reply_too(client: ModelClient, server: FakeModelServer) -> None:
    for _ in range(3):
        await generate(client)
    assert server.seen.open_connections == 1


async def test_code_points_cut_between_packets_arrive_whole(client: ModelClient, server: FakeModelServer) -> None:
    server.script = Script.of(Behaviour(Kind.SPLIT_UTF8, after_tokens=1))
    reply, _ = await generate(client)
    assert "\U0001f31f" in reply.text
    assert "\ufffd" not in reply.text


async def test_single_bytes_make_the_same_reply(client: ModelClient, server: FakeModelServer) -> None:
    plain, _ = await generate(client)
    server.script = Script.of(Behaviour(Kind.DRIP, after_tokens=1))
    dripped, _ = await generate(client)
    assert dripped.text == plain.text


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (Kind.BUSY_503, ModelBusy),
        (Kind.LIMITED_429, ModelBusy),
        (Kind.MISSING_404, ModelMissing),
        (Kind.BROKEN_500, ModelAway),
        (Kind.RESET, ModelAway),
        (Kind.ERROR_LINE, ModelBroken),
        (Kind.EOF_WITHOUT_DONE, ModelBroken),
        (Kind.GARBAGE_LINE, ModelBroken),
        (Kind.CUT_JSON, ModelBroken),
        (Kind.HUGE_LINE, ModelBroken),
        (Kind.DROP, ModelBroken),
    ],
)
async def test_a_failure_before_the_first_token_has_its_kind(
    client: ModelClient, server: FakeModelServer, kind: Kind, error: type[ModelError]
) -> None:
    reply, caught = await fail(client, server, Behaviour(kind))
    if kind is Kind.RESET:  # before or after the headers were read
        assert isinstance(caught, ModelAway | ModelBroken)
    else:
        assert isinstance(caught, error)
    assert reply.pieces == []
    await server.wait_until(lambda seen: seen.live_generations == 0)


@pytest.mark.parametrize(
    "kind",
    [
        Kind.ERROR_LINE,
        Kind.EOF_WITHOUT_DONE,
        Kind.GARBAGE_LINE,
        Kind.CUT_JSON,
        Kind.HUGE_LINE,
        Kind.DROP,
        Kind.RESET,
    ],
)
async def test_a_truncated_reply_is_never_taken_for_a_whole_one(
    client: ModelClient, server: FakeModelServer, kind: Kind
) -> None:
    reply, caught = await fail(client, server, Behaviour(kind, after_tokens=2))
    assert isinstance(caught, ModelBroken | ModelAway)
    assert len(reply.text) > 0


async def test_silence_before_the_first_token_ends_in_time(client: ModelClient, server: FakeModelServer) -> None:
    patience = Patience(first_token=SHORT, idle=4.0, total=4.0)
    _, caught = await fail(client, server, Behaviour(Kind.HANG_BEFORE_HEADERS), patience)
    assert isinstance(caught, ModelStalled)
    assert caught.phase == "first_token"
    await server.wait_until(lambda seen: seen.live_generations == 0)


async def test_silence_between_two_tokens_ends_in_time(client: ModelClient, server: FakeModelServer) -> None:
    patience = Patience(first_token=4.0, idle=SHORT, total=4.0)
    reply, caught = await fail(client, server, Behaviour(Kind.HANG_AFTER_TOKENS, after_tokens=2), patience)
    assert isinstance(caught, ModelStalled)
    assert caught.phase == "idle"
    assert "marker-7" in reply.text


async def test_an_endless_reply_ends_at_the_total(client: ModelClient, server: FakeModelServer) -> None:
    patience = Patience(first_token=4.0, idle=4.0, total=4 * SHORT)
    _, caught = await fail(client, server, Behaviour(tokens=5000, gap_ms=10), patience)
    assert isinstance(caught, ModelStalled)
    assert caught.phase == "total"


async def test_cancelling_the_call_stops_the_model(client: ModelClient, server: FakeModelServer) -> None:
    server.script = Script.of(Behaviour(tokens=5000, gap_ms=10))
    reply = Reply()
    call = asyncio.create_task(client.generate(PROMPT, GENERATION, PATIENCE, reply.take))
    async with asyncio.timeout(5):
        await reply.came.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await server.wait_until(lambda seen: seen.live_generations == 0)


async def test_what_the_sink_raises_stops_the_model(client: ModelClient, server: FakeModelServer) -> None:
    server.script = Script.of(Behaviour(tokens=5000, gap_ms=10))

    def refuse(_piece: str) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await client.generate(PROMPT, GENERATION, PATIENCE, refuse)
    await server.wait_until(lambda seen: seen.live_generations == 0)


async def test_a_server_that_is_not_there_is_away(client: ModelClient, server: FakeModelServer) -> None:
    await server.__aexit__()
    with pytest.raises(ModelAway):
        await client.generate(PROMPT, GENERATION, PATIENCE, Reply().take)
    report = await client.verify()
    assert not report.ok
    assert report.reason == "The model server cannot be reached"
    await server.__aenter__()


async def test_verify_finds_the_model_among_the_others(client: ModelClient, server: FakeModelServer) -> None:
    report = await client.verify()
    assert report.ok
    assert report.provider == client.provider
    assert report.current_model in report.available_models
    assert len(report.available_models) == 2


async def test_verify_names_the_missing_model_and_what_there_is(client: ModelClient, server: FakeModelServer) -> None:
    server.script.models = ("other:7b",)
    report = await client.verify()
    assert not report.ok
    assert "llama3.1:8b" in report.reason
    assert report.available_models == ("other:7b",)


async def test_what_was_said_is_the_open_end_of_the_conversation(client: ModelClient, server: FakeModelServer) -> None:
    reply = Reply()
    await client.generate(replace(PROMPT, said="Once upon"), GENERATION, PATIENCE, reply.take)
    assert server.seen.requests[-1].messages[-1] == {"role": "assistant", "content": "Once upon"}
