"""What the composition root decides by itself."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from pmcp_common.contracts.errors import Unavailable
from pmcp_common.queue import Reaped
from pmcp_llm_worker.ollama import OllamaClient
from pmcp_llm_worker.openai_compat import OpenAICompatClient
from pmcp_llm_worker.settings import WorkerSettings
from pmcp_llm_worker.worker import build_client, reap_forever, worker_id
from tests.unit.pmcp_llm_worker.doubles import SteppingClock


async def test_the_setting_chooses_the_dialect() -> None:
    async with aiohttp.ClientSession() as session:
        clock = SteppingClock()
        assert isinstance(build_client(WorkerSettings(model_api="ollama"), session, clock), OllamaClient)
        assert isinstance(build_client(WorkerSettings(model_api="openai"), session, clock), OpenAICompatClient)


async def test_the_reaper_survives_a_broker_that_is_away_has_jitter_and_wakes_when_a_deadline_ends() -> None:
    answers: list[Reaped | Exception] = [Unavailable("away"), Reaped(1, 0, 0.3), Reaped(0, 0, 9.0), Reaped(0, 0)]
    pauses: list[float] = []
    reaped = asyncio.Event()

    class Queue:
        async def reap(self) -> Reaped:
            answer = answers.pop(0)
            if not answers:
                reaped.set()
            if isinstance(answer, Exception):
                raise answer
            return answer

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await (asyncio.Event().wait() if reaped.is_set() else asyncio.sleep(0))

    shares = iter((0.0, 1.0, 0.5, 0.5, 0.5))
    task = asyncio.create_task(reap_forever(Queue(), sleep=sleep, jitter=lambda: next(shares)))  # type: ignore[arg-type]
    await asyncio.wait_for(reaped.wait(), 5)
    await asyncio.sleep(0)
    task.cancel()
    assert pauses[:4] == [0.75, 1.25, pytest.approx(0.32), 1.0]


def test_a_restarted_worker_is_another_one() -> None:
    assert worker_id() != worker_id()
