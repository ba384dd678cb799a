"""Every misbehaviour of the fake model server, as its clients meet it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest

from pmcp_common.testing.fake_model import FakeModelServer
from pmcp_common.testing.fake_model_script import Behaviour, Kind, Script
from tests.unit.pmcp_common.model_clients import BOUND_SECONDS, ask, model_client, ollama_lines, openai_events, said


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with model_client() as session:
        yield session


@pytest.mark.parametrize(
    ("kind", "status"),
    [(Kind.BUSY_503, 503), (Kind.LIMITED_429, 429), (Kind.MISSING_404, 404), (Kind.BROKEN_500, 500)],
)
async def test_a_status_fault_answers_once_and_then_the_default_rules(
    client: aiohttp.ClientSession, kind: Kind, status: int
) -> None:
    async with FakeModelServer(Script.of(Behaviour(kind))) as server:
        async with client.post(f"{server.url}/api/chat", json=ask()) as response:
            assert response.status == status
            assert (await response.json())["error"]
        assert said(await ollama_lines(client, server.url, ask())).startswith("[[m-1]]")
    assert (server.seen.faults, server.seen.completed) == (1, 1)


async def test_an_error_line_comes_under_200_in_both_dialects(client: aiohttp.ClientSession) -> None:
    fault = Behaviour(Kind.ERROR_LINE, after_tokens=2)
    async with FakeModelServer(Script.of(fault, fault)) as server:
        lines = await ollama_lines(client, server.url, ask())
        events = await openai_events(client, server.url, ask())
    assert said(lines[:2]) == "[[m-1]] w1"
    assert list(orjson.loads(lines[2])) == ["error"]
    assert orjson.loads(events[-1])["error"]["type"] == "api_error"
    assert b"[DONE]" not in events


async def test_eof_without_done_is_a_clean_body_without_a_last_line(client: aiohttp.ClientSession) -> None:
    async with FakeModelServer(Script.of(Behaviour(Kind.EOF_WITHOUT_DONE, after_tokens=2))) as server:
        lines = await ollama_lines(client, server.url, ask())
    assert said(lines) == "[[m-1]] w1"
    assert not any(orjson.loads(line)["done"] for line in lines)


async def test_a_fault_placed_after_the_last_token_replaces_the_last_line(client: aiohttp.ClientSession) -> None:
    async with FakeModelServer(Script.of(Behaviour(Kind.EOF_WITHOUT_DONE, after_tokens=99), tokens=3)) as server:
        lines = await ollama_lines(client, server.url, ask())
    assert said(lines) == "[[m-1]] w1 w2"


async def test_a_garbage_line_stands_among_good_ones(client: aiohttp.ClientSession) -> None:
    async with FakeModelServer(Script.of(Behaviour(Kind.GARBAGE_LINE, after_tokens=1), tokens=2)) as server:
        lines = await ollama_lines(client, server.url, ask())
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(lines.pop(1))
    assert said(lines) == "[[m-1]] w1"


async def test_cut_json_ends_the_body_in_the_middle_of_a_line(client: aiohttp.ClientSession) -> None:
    async with FakeModelServer(Script.of(Behaviour(Kind.CUT_JSON, after_tokens=1))) as server:
        lines = await ollama_lines(client, server.url, ask())
    assert len(lines) == 2
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(lines[1])


@pytest.mark.parametrize("kind", [Kind.DROP, Kind.RESET])
async def test_a_broken_connection_breaks_the_body(client: aiohttp.ClientSession, kind: Kind) -> None:
    async with FakeModelServer(Script.of(Behaviour(kind, after_tokens=1))) as server:
        with pytest.raises(aiohttp.ClientError):
            await ollama_lines(client, server.url, ask())
        await server.wait_until(lambda seen: seen.faults == 1 and seen.live_generations == 0)


async def test_reset_is_seen_as_a_reset_by_a_raw_socket() -> None:
    async with FakeModelServer(Script.of(Behaviour(Kind.RESET))) as server:
        reader, writer = await raw_request(server, ask())
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), BOUND_SECONDS)
        writer.close()


async def raw_request(
    server: FakeModelServer, body: dict[str, Any]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(server.host, server.port, limit=32 * 1024 * 1024)
    payload = orjson.dumps(body)
    head = f"POST /api/chat HTTP/1.1\r\nHost: fake\r\nContent-Length: {len(payload)}\r\n\r\n"
    writer.write(head.encode() + payload)
    return reader, writer


async def test_split_utf8_cuts_a_character_between_two_reads() -> None:
    async with FakeModelServer(Script.of(Behaviour(Kind.SPLIT_UTF8, after_tokens=1), tokens=2)) as server:
        reader, writer = await raw_request(server, ask())
        parts: list[bytes] = []
        while not b"".join(parts).endswith(b"0\r\n\r\n"):
            parts.append(await asyncio.wait_for(reader.read(65_536), BOUND_SECONDS))
        writer.close()
    assert any(not decodes(part) for part in parts)


def decodes(part: bytes) -> bool:
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    return True


async def test_split_utf8_is_one_good_line_to_a_reader_that_joins(client: aiohttp.ClientSession) -> None:
    async with FakeModelServer(Script.of(Behaviour(Kind.SPLIT_UTF8, after_tokens=1), tokens=2)) as server:
        lines = await ollama_lines(client, server.url, ask())
    assert said(lines) == "[[m-1]] nai\u0308ve \U0001f31f w1"


async def test_drip_sends_every_byte_alone_and_nothing_is_lost(client: aiohttp.ClientSession) -> None:
    async with FakeModelServer(Script.of(Behaviour(Kind.DRIP), tokens=3)) as server:
        lines = await ollama_lines(client, server.url, ask())
        again = await ollama_lines(client, server.url, ask())
    assert said(lines) == said(again) == "[[m-1]] w1 w2"


async def test_a_huge_line_arrives_whole(client: aiohttp.ClientSession) -> None:
    fault = Behaviour(Kind.HUGE_LINE, after_tokens=1, line_bytes=10_000_000)
    async with FakeModelServer(Script.of(fault, tokens=2)) as server:
        lines = await ollama_lines(client, server.url, ask())
    assert len(orjson.loads(lines[1])["message"]["content"]) == 10_000_000
    assert orjson.loads(lines[-1])["done"] is True


async def test_hanging_before_headers_holds_until_the_client_leaves() -> None:
    async with FakeModelServer(Script.of(Behaviour(Kind.HANG_BEFORE_HEADERS))) as server:
        reader, writer = await raw_request(server, ask())
        await server.wait_until(lambda seen: seen.live_generations == 1)
        writer.close()
        await server.wait_until(lambda seen: seen.closed_early == 1 and seen.open_connections == 0)
    assert await reader.read() == b""


async def test_hanging_after_tokens_sends_them_and_then_nothing() -> None:
    async with FakeModelServer(Script.of(Behaviour(Kind.HANG_AFTER_TOKENS, after_tokens=2))) as server:
        reader, writer = await raw_request(server, ask())
        await asyncio.wait_for(reader.readuntil(b" w1"), BOUND_SECONDS)
        assert server.seen.live_generations == 1
        writer.close()
        await server.wait_until(lambda seen: seen.closed_early == 1)
    assert server.seen.tokens_sent == 2
