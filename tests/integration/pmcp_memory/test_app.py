"""The service as its own process with the real model, asked through the client the other processes use."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.memories import CommitTurns, ContextRequest, RememberRequest, Role, Turn
from pmcp_common.peers_http import HttpMemoryPeer, open_session
from pmcp_local.settings import inherited_environment

START_SECONDS = 30.0


async def start(dsn: str, port: int, data_dir: Path) -> asyncio.subprocess.Process:
    environment = {
        **inherited_environment(),
        "PMCP_POSTGRES_DSN": dsn,
        "PMCP_MEMORY_PORT": str(port),
        "PMCP_DATA_DIR": str(data_dir),
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pmcp_memory", env=environment, stderr=asyncio.subprocess.PIPE
    )


async def until_ready(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(START_SECONDS), open_session() as session:
        while True:
            assert process.returncode is None
            try:
                async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    if answer.status == 200:
                        return
            except OSError:
                await asyncio.sleep(0.02)


@pytest.fixture
async def peer(free_port: int) -> AsyncIterator[HttpMemoryPeer]:
    async with open_session() as session:
        yield HttpMemoryPeer(session, f"http://127.0.0.1:{free_port}")


def said(number: int, content: str) -> Turn:
    return Turn(
        message_id=f"m{number}",
        conversation_id="c1",
        persona_id="aria",
        player_id="p1",
        role=Role.USER,
        content=content,
        created_at=datetime(2026, 3, 1, tzinfo=UTC),
    )


async def test_from_an_empty_database_to_a_recalled_memory_and_a_clean_end(
    make_database: Callable[[], Awaitable[str]], free_port: int, peer: HttpMemoryPeer, tmp_path: Path
) -> None:
    process = await start(await make_database(), free_port, tmp_path)
    try:
        await until_ready(process, free_port)
        turns = (said(1, "My dog is called Rex."), said(2, "The harbour tax rose again."))
        assert await peer.commit("local", CommitTurns(turns=turns)) == 2
        assert await peer.remember("local", RememberRequest(message_ids=("m1", "m2"))) == 2
        assert await peer.turn("local", "m1") == turns[0]
        assert await peer.turn("local", "m9") is None
        request = ContextRequest(
            persona_id="aria",
            player_id="p1",
            conversation_id="c2",
            query="Do you remember the name of my puppy?",
            max_memories=1,
        )
        context = await peer.context("local", request)
        assert [memory.content for memory in context.memories] == ["My dog is called Rex."]
        assert (await peer.stats("local", "aria", "p1")).total_memories == 2
        assert (await peer.stats("local", "kira", "p1")).total_memories == 0
        with pytest.raises(DomainError, match="not committed"):
            await peer.remember("local", RememberRequest(message_ids=("m9",)))
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            _, errors = await process.communicate()
    assert process.returncode == 0
    lines = [orjson.loads(line) for line in errors.splitlines()]
    assert {line["level"] for line in lines} <= {"INFO"}
    assert b"Rex" not in errors
    assert [path.suffix for path in (tmp_path / "models").iterdir()] == [".onnx"]
