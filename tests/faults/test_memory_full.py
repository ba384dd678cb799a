"""Redis that may not write: nothing acknowledged is lost, whoever asks is told when to come back, and everything comes
back by itself. Disks that are full, under Redis and under PostgreSQL: `isolated/test_full_disks`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from pmcp_common.contracts.errors import UNAVAILABLE
from tests.faults.conftest import Trial

pytestmark = pytest.mark.asyncio(loop_scope="session")

REFUSED_SECONDS = 8.0


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


def _all_processes(trial: Trial) -> dict[str, int]:
    return {name: pid for name, pid in trial.stack.running.pids.items() if name not in ("valkey", "postgres")}
