"""Disks and memories that are full: Redis that may not write, PostgreSQL without a byte left. Nothing acknowledged is
lost, whoever asks is told when to come back, and everything comes back by itself.

The database's table of turns gets a file system of its own of a few megabytes, made by the test; where mounting is not
allowed, that test is skipped and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest
from redis.asyncio import Redis

from bench.soak.fault_stack import until
from bench.soak.holdings import held_rows
from bench.soak.player import Player
from bench.soak.told import Told
from pmcp_common.contracts.errors import UNAVAILABLE
from tests.faults.conftest import Trial

pytestmark = pytest.mark.asyncio(loop_scope="session")

REFUSED_SECONDS = 8.0
BACKFILL_SECONDS = 30.0
DISK_MEGABYTES = 24


@asynccontextmanager
async def redis_without_memory(trial: Trial) -> AsyncIterator[None]:
    """Every command that would take memory is answered with OOM, as with MISCONF on a full disk."""
    async with cast(Any, Redis.from_url(trial.stack.redis_url)) as redis, trial.hazards.noted("redis", "full"):
        try:
            await redis.config_set("maxmemory-policy", "noeviction")
            await redis.config_set("maxmemory", 1)
            yield
        finally:
            await redis.config_set("maxmemory", 0)


async def test_while_redis_may_not_write_messages_are_refused_and_running_replies_wait(trial: Trial) -> None:
    trial.script(gap_ms=60)
    before = _all_processes(trial)
    running, other = await trial.player(), await trial.player(1)
    assert (await other.say()).state == "done"
    told, asked = running.begin(), other.begin()
    hearing = asyncio.create_task(running.hear(told))
    await told.until_shown(3)
    async with redis_without_memory(trial):
        asking = asyncio.create_task(other.hear(asked))
        await asked.until(lambda one: len(one.refusals) >= 2, REFUSED_SECONDS)
    await asyncio.gather(hearing, asking)
    assert set(asked.refusals) == {UNAVAILABLE.code}
    assert (told.state, asked.state) == ("done", "done")
    assert _all_processes(trial) == before


@asynccontextmanager
async def rows_on_a_small_disk(trial: Trial) -> AsyncIterator[Path]:
    """The table of turns on a file system of its own; yields what to write to fill it."""
    place = trial.stack.data / "small-disk"
    owner = os.stat(trial.stack.data / "postgres").st_uid
    place.mkdir()
    if not run("mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m,uid={owner},mode=700", "tmpfs", str(place)):
        pytest.skip("mounting a small file system is not allowed here")
    connection = await asyncpg.connect(trial.stack.postgres_dsn)
    try:
        (place / "rows").mkdir()
        os.chown(place / "rows", owner, -1)
        await connection.execute(f"CREATE TABLESPACE small LOCATION '{place / 'rows'}'")
        await connection.execute("ALTER TABLE memory.turns SET TABLESPACE small")
        yield place / "filler"
        await connection.execute("ALTER TABLE memory.turns SET TABLESPACE pg_default")
        await connection.execute("DROP TABLESPACE small")
    finally:
        await connection.close()
        assert run("umount", "--lazy", str(place))


def run(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as filler:
        while True:
            filler.write(b"\0" * 4096)


async def test_while_the_database_has_no_byte_left_chat_goes_on_and_its_rows_follow_once(trial: Trial) -> None:
    before = _all_processes(trial)
    player = await trial.player()
    assert (await player.say()).state == "done"
    async with rows_on_a_small_disk(trial) as filler:
        async with trial.hazards.noted("postgres", "full"):
            fill(filler)
            # Too much for what is left of the last page.
            told = [await player.say(random.Random(number).randbytes(6000).hex()) for number in range(2)]
            for one in told:
                assert one.end is not None
                assert (one.state, one.end["persisted"]) == ("done", False)
            filler.unlink()
        for one in told:
            await until(partial(_stored_once, trial, player, one), BACKFILL_SECONDS)
        again = await player.say()
        assert again.end is not None
        assert (again.state, again.end["persisted"]) == ("done", True)
    assert _all_processes(trial) == before


async def _stored_once(trial: Trial, player: Player, told: Told) -> bool:
    rows = await held_rows(trial.stack, [player.player])
    return [row.message_id for row in rows].count(told.message_id) == 1


def _all_processes(trial: Trial) -> dict[str, int]:
    return {name: pid for name, pid in trial.stack.running.pids.items() if name not in ("valkey", "postgres")}
