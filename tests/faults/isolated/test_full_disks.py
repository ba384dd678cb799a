"""Disks without a free byte under Redis and under Postgres, while people talk."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from bench.soak.holdings import held_rows
from bench.soak.player import Way
from bench.soak.told import Told
from pmcp_common.contracts.errors import UNAVAILABLE
from pmcp_common.testing.waiting import until
from tests.faults.conftest import Trial
from tests.faults.isolated.conftest import full_disk

pytestmark = pytest.mark.asyncio(loop_scope="session")

FULL_SECONDS = 3.0, 20.0
BACK_SECONDS = 15.0
BACKFILL_SECONDS = 30.0


async def test_with_redis_disk_full_messages_are_refused_and_later_answered(trial: Trial) -> None:
    trial.script(gap_ms=60)
    before = dict(trial.stack.running.pids)
    streaming, asking = await trial.player(way=Way.LIBRARY), await trial.players(int(2 * trial.size.of(*FULL_SECONDS)))
    await asyncio.gather(*(one.say() for one in asking))
    told = streaming.begin()
    hearing = asyncio.create_task(streaming.hear(told))
    await told.until_shown(3)
    async with full_disk(trial.hazards, "redis", "valkey"):
        full_at = time.monotonic()
        meanwhile: list[Told] = []
        waiting: list[asyncio.Task[Told]] = []
        for one in asking:
            meanwhile.append(one.begin())
            waiting.append(asyncio.create_task(one.hear(meanwhile[-1])))
            await asyncio.sleep(0.5)
        assert time.monotonic() - full_at >= trial.size.of(*FULL_SECONDS)
        refused = [one for one in meanwhile if one.refusals]
        assert refused, "nothing was refused"
        assert {code for one in refused for code in one.refusals} == {UNAVAILABLE.code}
        free_at = time.monotonic()
    await asyncio.gather(hearing, *waiting)
    assert {one.state for one in (told, *meanwhile)} == {"done"}
    ends = [one.ended_at - free_at for one in refused if one.ended_at is not None]
    trial.measured("—", "Redis' disk full, then not: refused messages answered", ends, BACK_SECONDS)
    assert dict(trial.stack.running.pids) == before


async def test_with_postgres_disk_full_chat_goes_on_and_its_rows_follow_once(trial: Trial) -> None:
    player = await trial.player()
    assert (await player.say()).state == "done"
    meanwhile: list[Told] = []
    async with full_disk(trial.hazards, "postgres", "."):
        full_at = time.monotonic()
        while time.monotonic() - full_at < trial.size.of(*FULL_SECONDS):
            meanwhile.append(await player.say("A long story. " + "x" * 5000))
    free_at = time.monotonic()
    assert {one.state for one in meanwhile} == {"done"}
    for told in meanwhile:
        await until(partial(_stored, trial, player.player, told.message_id), BACKFILL_SECONDS)
    owed = sum(1 for one in meanwhile if one.end is not None and not one.end["persisted"])
    assert owed, "the disk was not full"
    again = await player.say()
    assert again.end is not None
    assert (again.state, again.end["persisted"]) == ("done", True)
    trial.measured(
        "—", "Postgres' disk full, then not: every row there", [time.monotonic() - free_at], BACKFILL_SECONDS
    )


async def _stored(trial: Trial, player: str, message_id: str) -> bool:
    try:
        rows = await held_rows(trial.stack, [player])
    except OSError:
        return False  # it starts again
    return [row.message_id for row in rows].count(message_id) == 1
