"""F5 and F6: Redis and Postgres that die, fall silent or are stopped, under a conversation that goes on."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis

from bench.soak.fault_stack import until
from bench.soak.holdings import held_rows
from bench.soak.player import Player, Way
from bench.soak.told import Told
from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import UNAVAILABLE
from pmcp_common.testing.history import Recorder
from pmcp_common.testing.process_killer import Action
from tests.faults.conftest import Trial

pytestmark = pytest.mark.asyncio(loop_scope="session")

REFUSED_SECONDS = 8.0
"""The gateway waits 2 s for the broker; the rest is what two busy cores add."""
SILENT_SECONDS = 10.0
BACKFILL_SECONDS = 30.0
REQUEUED_SECONDS = 30.0


async def _begin(trial: Trial, count: int, way: Way = Way.LIBRARY) -> tuple[list[Told], list[asyncio.Task[Told]]]:
    players = await trial.players(count, way=way)
    told = [player.begin() for player in players]
    hearing = [asyncio.create_task(player.hear(one)) for player, one in zip(players, told, strict=True)]
    for one in told:
        await one.until_shown(3)
    return told, hearing


async def _all_processes(trial: Trial) -> dict[str, int]:
    return {name: pid for name, pid in trial.stack.running.pids.items() if name not in ("valkey", "postgres")}


async def test_redis_killed_in_mid_stream_comes_back_with_every_job(trial: Trial) -> None:
    trial.script(gap_ms=60)
    before = await _all_processes(trial)
    told, hearing = await _begin(trial, 4)
    await trial.hazards.strike("valkey", Action.KILL)
    await asyncio.gather(*hearing)
    assert [one.state for one in told] == ["done"] * 4
    assert (await trial.here[0].say()).state == "done"
    assert await _all_processes(trial) == before


async def test_while_redis_is_silent_sockets_stay_and_messages_are_refused_with_a_time_to_come_back(
    trial: Trial,
) -> None:
    trial.script(gap_ms=60)
    before = await _all_processes(trial)
    told, hearing = await _begin(trial, 2)
    other = await trial.player(7)
    assert (await other.say()).state == "done"  # its session is stored: only the message itself will be refused
    silence = asyncio.create_task(trial.hazards.silence(trial.stack.redis, "redis", SILENT_SECONDS))
    await asyncio.sleep(0)  # the silence has begun
    asked = other.begin()
    waiting = asyncio.create_task(other.hear(asked))
    await asked.until(lambda one: bool(one.refusals), REFUSED_SECONDS)
    assert asked.refusals[0] == UNAVAILABLE.code
    await silence
    await asyncio.gather(*hearing, waiting)
    assert [one.state for one in (*told, asked)] == ["done"] * 3
    assert await _all_processes(trial) == before


@pytest.mark.parametrize("how", ["stopped", "silent"])
async def test_without_postgres_chat_goes_on_and_its_rows_follow_once(trial: Trial, how: str) -> None:
    before = await _all_processes(trial)
    player = await trial.player()
    assert (await player.say()).state == "done"
    outage = trial.hazards.stopped if how == "stopped" else trial.hazards.silent
    async with outage(trial.stack.postgres, "postgres"):
        told = await player.say()
        assert told.end is not None
        assert (told.state, told.end["persisted"]) == ("done", False)
    healed_at = time.monotonic()
    await until(lambda: _rows_of(trial, player, told), BACKFILL_SECONDS)
    assert time.monotonic() - healed_at < BACKFILL_SECONDS
    assert await _all_processes(trial) == before


async def _rows_of(trial: Trial, player: Player, told: Told) -> bool:
    rows = await held_rows(trial.stack, [player.player])
    return [row.message_id for row in rows].count(told.message_id) == 1


async def test_postgres_killed_comes_back_and_nothing_is_missing(trial: Trial) -> None:
    trial.script(gap_ms=60)
    before = await _all_processes(trial)
    told, hearing = await _begin(trial, 4)
    await trial.hazards.strike("postgres", Action.KILL)
    await asyncio.gather(*hearing)
    assert [one.state for one in told] == ["done"] * 4
    assert await _all_processes(trial) == before


async def test_redis_restarted_without_its_data_answers_every_accepted_message(trial: Trial, tmp_path: Path) -> None:
    """What was being shown ends at once and says so; the message is queued again from its record, and answered.

    The history of these clients is not judged: they see the end of what was lost, and the new reply nobody shows them.
    """
    trial.script(gap_ms=60, tokens=100)
    before = await _all_processes(trial)
    with Recorder(tmp_path / "unjudged.jsonl") as recorder:
        players = [Player(recorder, trial.stack.urls, f"{trial.name}-{number}") for number in range(3)]
        told = [player.begin() for player in players]
        hearing = [asyncio.create_task(player.hear(one)) for player, one in zip(players, told, strict=True)]
        for one in told:
            await one.until_shown(3)
        await until(partial(_all_recorded, trial))  # before that a message is not durable: docs/limits.md
        await trial.hazards.wipe_redis()
        await asyncio.gather(*hearing)
        assert [one.state for one in told] == ["failed"] * 3
        for player, one in zip(players, told, strict=True):
            await until(partial(_rows_of, trial, player, one), REQUEUED_SECONDS)
            await player.hang_up()
    assert await _all_processes(trial) == before


async def _all_recorded(trial: Trial) -> bool:
    async with Redis.from_url(trial.stack.redis_url) as redis:
        return int(await redis.zcard(keys.UNRECORDED)) == 0
