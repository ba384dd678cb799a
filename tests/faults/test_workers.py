"""F3 and F11: workers that are killed at any moment, and a message that kills each worker that takes it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from bench.soak.fault_stack import TENANT
from bench.soak.holdings import asked_marker
from bench.soak.told import Told
from pmcp_common.contracts import keys
from pmcp_common.contracts.jobs import JobState
from pmcp_common.testing.fake_model_record import Recorder
from pmcp_common.testing.fake_model_script import Behaviour, Kind
from pmcp_common.testing.process_killer import Action
from pmcp_common.testing.waiting import until
from tests.faults.conftest import Trial

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("isolated_run")]

NEW_TOKEN_P95_SECONDS = 15.0
CALM_SECONDS = 30.0
"""A part that dies again and again within a minute is started after longer and longer pauses, up to 8 s."""
NEW_TOKEN_SECONDS = 30.0
"""Lease 10 s, reaper 1 s, and the next worker's way to its first token."""
TOKENS = 24
STRUCK_AT = (TOKENS, TOKENS // 2, 1)
"""Positions shown when the worker dies: the last, half-way, the first."""
TOKEN_GAP_MS = 80
"""Longer than a worker waits to join tokens: each has a position of its own."""


async def test_workers_killed_while_they_write_cost_a_pause(trial: Trial) -> None:
    """One reply is at its first token when all workers die, one half-way, one at its last."""
    pauses: list[float] = []
    for _ in range(trial.size.of(1, 6)):
        pauses += await _kill_all_workers(trial)
        await asyncio.sleep(trial.size.of(0.0, CALM_SECONDS))
    what = "every worker killed: until the first new token"
    trial.measured("F3", what, pauses, NEW_TOKEN_P95_SECONDS, share=0.95)
    assert max(pauses) < NEW_TOKEN_SECONDS


async def _kill_all_workers(trial: Trial) -> list[float]:
    """The model falls silent at the token at which each reply shall be struck, so that none is past it."""
    trial.script(gap_ms=TOKEN_GAP_MS, tokens=TOKENS)
    trial.stack.model.script.push(Behaviour(Kind.HANG_AFTER_TOKENS, after_tokens=position) for position in STRUCK_AT)
    told, hearing = [], []
    for player, position in zip(await trial.players(len(STRUCK_AT)), STRUCK_AT, strict=True):
        told.append(player.begin())
        hearing.append(asyncio.create_task(player.hear(told[-1])))
        # The next one starts so far behind that they arrive together: a silent model is left soon.
        behind = position if len(told) == len(STRUCK_AT) else position - STRUCK_AT[len(told)]
        await told[-1].until_shown(behind)
    for one, position in zip(told, STRUCK_AT, strict=True):
        await one.until_shown(position)
    at = time.monotonic()
    striking = await _all_workers_dead(trial)
    assert [(one.last_seq, one.end) for one in told] == [(position, None) for position in STRUCK_AT]

    async def pause(one: Told, before: int) -> float:
        await one.until_shown(before + 1, NEW_TOKEN_SECONDS)
        return time.monotonic() - at

    pauses = await asyncio.gather(*(pause(one, before) for one, before in zip(told, STRUCK_AT, strict=True)))
    await asyncio.gather(*striking, *hearing)
    assert [one.state for one in told] == ["done"] * len(told)
    return pauses


async def _all_workers_dead(trial: Trial) -> list[asyncio.Task[None]]:
    """Killed just now, and not there again; the tasks end when they are."""
    names = trial.stack.parts("worker")
    old = [trial.stack.running.pids[name] for name in names]
    striking = [asyncio.create_task(trial.hazards.strike(name, Action.KILL)) for name in names]
    await until(lambda: not any(_runs(pid) for pid in old))
    return striking


def _runs(pid: int) -> bool:
    """Not dead, and no zombie either."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_worker_killed_while_it_commits_loses_no_row_and_writes_none_twice(trial: Trial) -> None:
    """Silent Postgres holds each worker inside its commit; the rows may or may not be there when it dies."""
    for _ in range(trial.size.of(1, 5)):
        told = [player.begin() for player in await trial.players(3)]
        hearing = [asyncio.create_task(player.hear(one)) for player, one in zip(trial.here[-3:], told, strict=True)]
        for one in told:
            await one.until_shown(1)
        async with trial.hazards.silent(trial.stack.postgres, "postgres"):
            await until(partial(_all_commit, trial, told))
            at = time.monotonic()
            striking = await _all_workers_dead(trial)
            assert await _all_commit(trial, told)
            assert [one.end for one in told] == [None] * len(told)
            await asyncio.gather(*striking)
        await asyncio.gather(*hearing)
        ends = [one.ended_at - at for one in told if one.ended_at is not None]
        assert [one.state for one in told] == ["done"] * len(ends)
        trial.measured("F3", "every worker killed in its commit: until the end", ends, NEW_TOKEN_SECONDS)


async def _all_commit(trial: Trial, told: Sequence[Told]) -> bool:
    """As Redis knows the jobs: whole, and their rows are being stored."""
    async with cast(Any, Redis.from_url(trial.stack.redis_url)) as redis:
        states = [await redis.hget(keys.job(TENANT, one.stream), "state") for one in told]
    return states == [JobState.COMMITTING.value.encode()] * len(told)


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
