"""F3 and F11: workers that are killed at any moment, and a message that kills each worker that takes it."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from bench.soak.holdings import asked_marker
from bench.soak.told import Told
from pmcp_common.testing.fake_model_record import Recorder
from pmcp_common.testing.process_killer import Action
from tests.faults.conftest import Trial

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("isolated_run")]

NEW_TOKEN_P95_SECONDS = 15.0
CALM_SECONDS = 30.0
"""A part that dies again and again within a minute is started after longer and longer pauses, up to 8 s."""
NEW_TOKEN_SECONDS = 30.0
"""Lease 10 s, reaper 1 s, and the next worker's way to its first token."""


POSITIONS = (23, 12, 1)
"""How much of 24 tokens is shown when the worker dies: all but one, half, the first."""


async def test_workers_killed_while_they_write_cost_a_pause(trial: Trial) -> None:
    """One reply is at its first token when all workers die, one half-way, one at its last."""
    trial.script(gap_ms=80)
    pauses: list[float] = []
    for _ in range(trial.size.of(1, 6)):
        pauses += await _kill_all_workers(trial)
        await asyncio.sleep(trial.size.of(0.0, CALM_SECONDS))
    what = "every worker killed: until the first new token"
    trial.measured("F3", what, pauses, NEW_TOKEN_P95_SECONDS, share=0.95, noise=5.0)
    assert max(pauses) < NEW_TOKEN_SECONDS


async def _kill_all_workers(trial: Trial) -> list[float]:
    told, hearing = [], []
    for player, position in zip(await trial.players(len(POSITIONS)), POSITIONS, strict=True):
        told.append(player.begin())
        hearing.append(asyncio.create_task(player.hear(told[-1])))
        behind = position if len(told) == len(POSITIONS) else position - POSITIONS[len(told)]
        await told[-1].until_shown(behind)
    shown = [(one, one.last_seq) for one in told if one.end is None]
    at = time.monotonic()
    striking = [asyncio.create_task(trial.hazards.strike(name, Action.KILL)) for name in trial.stack.parts("worker")]

    async def pause(one: Told, before: int) -> float:
        await one.until_shown(before + 1, NEW_TOKEN_SECONDS)
        return time.monotonic() - at

    pauses = await asyncio.gather(*(pause(one, before) for one, before in shown))
    await asyncio.gather(*striking, *hearing)
    assert [one.state for one in told] == ["done"] * len(told)
    return pauses


async def test_a_worker_killed_while_it_commits_loses_no_row_and_writes_none_twice(trial: Trial) -> None:
    """Silent Postgres holds each worker inside its commit; the rows may or may not be there when it dies."""
    for _ in range(trial.size.of(1, 5)):
        told = [player.begin() for player in await trial.players(3)]
        hearing = [asyncio.create_task(player.hear(one)) for player, one in zip(trial.here[-3:], told, strict=True)]
        for one in told:
            await one.until_shown(1)
        async with trial.hazards.silent(trial.stack.postgres, "postgres"):
            await trial.stack.model.wait_until(lambda seen: seen.live_generations == 0)
            at = time.monotonic()
            await asyncio.gather(*(trial.hazards.strike(name, Action.KILL) for name in trial.stack.parts("worker")))
        await asyncio.gather(*hearing)
        ends = [one.ended_at - at for one in told if one.ended_at is not None]
        assert len(ends) == len(told)
        trial.measured("F3", "every worker killed in its commit: until the end", ends, NEW_TOKEN_SECONDS)


async def test_a_message_that_kills_every_worker_fails_and_the_queue_moves_on(trial: Trial) -> None:
    trial.script(ttft_ms=60_000)
    victim, other = await trial.players(2)
    fatal = victim.begin("This one is fatal.")
    hearing = asyncio.create_task(victim.hear(fatal))
    for attempt in range(1, 4):
        await trial.stack.model.wait_until(partial(_asked, fatal, attempt), NEW_TOKEN_SECONDS)
        await asyncio.gather(*(trial.hazards.strike(name, Action.KILL) for name in trial.stack.parts("worker")))
    trial.script()
    moved_on = await other.say()
    assert moved_on.state == "done"
    await hearing
    assert fatal.state == "failed"
    assert moved_on.ended_at is not None
    trial.measured("F11", "a fatal message: the next one answered", [moved_on.ended_at - moved_on.sent_at])
    assert _calls(trial.stack.model.seen, fatal) == 3


def _calls(seen: Recorder, told: Told) -> int:
    return sum(asked_marker(request) == told.marker for request in seen.requests)


def _asked(told: Told, times: int, seen: Recorder) -> bool:
    return _calls(seen, told) >= times
