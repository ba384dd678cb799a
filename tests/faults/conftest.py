"""One stack behind fault proxies for all fault tests, and for each test a history that must be without a violation.

The stack, the proxies and the tests share one event loop for the whole run.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bench.soak.fault_stack import FaultStack, fault_stack
from bench.soak.hazards import Hazards
from bench.soak.holdings import verdict
from bench.soak.joining import player
from bench.soak.player import Player
from pmcp_common.testing.fake_model_script import Script
from pmcp_common.testing.history import Recorder
from pmcp_common.testing.history_checker import Report

SEED = 5
FIRST_TOKEN_SECONDS, IDLE_SECONDS, TOTAL_SECONDS = 3.0, 2.0, 12.0
"""The model's time-outs in these tests: the shipped ones are 20 s, 15 s and 240 s."""


def quick(**fields: Any) -> Script:
    """A well-behaved model: 24 tokens in about half a second."""
    return Script(**({"ttft_ms": 20, "gap_ms": 20, "tokens": 24, "record_limit": 20_000} | fields))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def faulty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FaultStack]:
    patience = {
        "PMCP_MODEL_FIRST_TOKEN_SECONDS": str(FIRST_TOKEN_SECONDS),
        "PMCP_MODEL_IDLE_SECONDS": str(IDLE_SECONDS),
        "PMCP_MODEL_TOTAL_SECONDS": str(TOTAL_SECONDS),
    }
    async with fault_stack(tmp_path_factory.mktemp("faults"), quick(), seed=SEED, overrides=patience) as stack:
        yield stack


@dataclass
class Trial:
    """One test on the stack: its players, its history, and at the end the checker's word."""

    stack: FaultStack
    recorder: Recorder
    path: Path
    name: str
    held: AsyncExitStack
    hazards: Hazards
    here: list[Player] = field(default_factory=list)

    def script(self, **fields: Any) -> None:
        self.stack.model.script = quick(**fields)

    async def player(self, number: int = 0, urls: Sequence[str] | None = None, **options: Any) -> Player:
        name = f"{self.name}-{number}"
        one = await self.held.enter_async_context(player(self.recorder, urls or self.stack.urls, name, **options))
        self.here.append(one)
        return one

    async def players(self, count: int, **options: Any) -> list[Player]:
        return [await self.player(number, **options) for number in range(count)]

    async def verdict(self) -> Report:
        return await verdict(self.stack, self.recorder, self.path)


@pytest_asyncio.fixture(loop_scope="session")
async def trial(faulty: FaultStack, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Trial]:
    """At its end the stack is healed, and a history with a violation fails the test."""
    faulty.model.script = quick()
    path = tmp_path / "history.jsonl"
    name = f"{request.node.name.partition('[')[0][5:25]}-{uuid.uuid4().hex[:6]}"
    with Recorder(path) as recorder:
        async with AsyncExitStack() as held:
            one = Trial(faulty, recorder, path, name, held, Hazards(faulty, recorder, random.Random(SEED)))
            try:
                yield one
            finally:
                await faulty.heal()
        faulty.model.script = quick()
        report = await one.verdict()
    broken = "\n".join(f"{v.rule.value}: {v.stream} {v.evidence}" for v in report.violations)
    assert not report.violations, f"{report.summary.text()}\n{broken}"
