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

pytestmark = pytest.mark.asyncio(loop_scope="session")

NEW_TOKEN_SECONDS = 30.0
"""Lease 10 s, reaper 1 s, and the next worker's way to its first token."""


async def test_workers_killed_while_they_write_cost_a_pause(trial: Trial) -> None:
    """One reply is at its first token when all workers die, one half-way, one at its last."""
    trial.script(gap_ms=80)
    positions = (23, 12, 1)
    players = await trial.players(len(positions))
    told, hearing = [], []
    for player, position in zip(players, positions, strict=True):
        told.append(player.begin())
        hearing.append(asyncio.create_task(player.hear(told[-1])))
        behind = min(positions) if position == min(positions) else position - positions[len(told)]
        await told[-1].until_shown(behind)
    shown = [(one, one.last_seq) for one in told if one.end is None]
    killed_at = time.monotonic()
    await asyncio.gather(*(trial.hazards.strike(name, Action.KILL) for name in trial.stack.parts("worker")))
    for one, before in shown:
        await one.until_shown(before + 1, NEW_TOKEN_SECONDS)
    assert time.monotonic() - killed_at < NEW_TOKEN_SECONDS
    await asyncio.gather(*hearing)
    assert [one.state for one in told] == ["done"] * len(told)


async def test_a_worker_killed_while_it_commits_loses_no_row_and_writes_none_twice(trial: Trial) -> None:
    """Silent Postgres holds each worker inside its commit; the rows may or may not be there when it dies."""
    told = [player.begin() for player in await trial.players(3)]
    hearing = [asyncio.create_task(player.hear(one)) for player, one in zip(trial.here, told, strict=True)]
    for one in told:
        await one.until_shown(1)
    trial.stack.postgres.blackhole()
    await trial.stack.model.wait_until(lambda seen: seen.live_generations == 0)
    await asyncio.gather(*(trial.hazards.strike(name, Action.KILL) for name in trial.stack.parts("worker")))
    await trial.stack.postgres.heal()
    await asyncio.gather(*hearing)
    assert all(one.end is not None for one in told)


async def test_a_message_that_kills_every_worker_fails_and_the_queue_moves_on(trial: Trial) -> None:
    trial.script(ttft_ms=60_000)
    victim, other = await trial.players(2)
    fatal = victim.begin("This one is fatal.")
    hearing = asyncio.create_task(victim.hear(fatal))
    for attempt in range(1, 4):
        await trial.stack.model.wait_until(partial(_asked, fatal, attempt), NEW_TOKEN_SECONDS)
        await asyncio.gather(*(trial.hazards.strike(name, Action.KILL) for name in trial.stack.parts("worker")))
    trial.script()
    assert (await other.say()).state == "done"
    await hearing
    assert fatal.state == "failed"
    assert _calls(trial.stack.model.seen, fatal) == 3


def _calls(seen: Recorder, told: Told) -> int:
    return sum(asked_marker(request) == told.marker for request in seen.requests)


def _asked(told: Told, times: int, seen: Recorder) -> bool:
    return _calls(seen, told) >= times
