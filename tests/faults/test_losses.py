"""F5 and F6, what goes with a server: Redis back without data, Postgres away while gateways doubt what they know."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from bench.soak.harvest import held_streams
from bench.soak.lives import opened
from bench.soak.player import Way
from pmcp_common.contracts import keys
from pmcp_common.testing.waiting import until
from tests.faults.conftest import Trial

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUBSCRIBED_SECONDS = 15.0
REQUEUED_SECONDS = 30.0


@pytest.mark.parametrize("sockets", ["stay", "are cut too"])
async def test_redis_restarted_without_its_data_answers_every_accepted_message_once(trial: Trial, sockets: str) -> None:
    """Each client is told that its reply begins anew, follows the new one to its end, and that is what is stored."""
    trial.script(gap_ms=60, tokens=60)
    before = _all_processes(trial)
    players = [await trial.player(number, way=way) for number, way in enumerate(Way)]
    told = [player.begin() for player in players]
    hearing = [asyncio.create_task(player.hear(one)) for player, one in zip(players, told, strict=True)]
    for one in told:
        await one.until_shown(3)
    epochs = [one.epoch for one in told]
    wiped_at = time.monotonic()
    await trial.hazards.wipe_redis()
    if sockets == "are cut too":
        for door in trial.stack.doors:
            await trial.hazards.cut(door, "clients")
    await asyncio.gather(*hearing)
    assert [one.state for one in told] == ["done"] * len(told)
    assert not set(epochs) & {one.epoch for one in told}
    told_anew = [one.anew_at[0] - wiped_at for one in told]
    trial.measured("F5", "Redis without its data: queued again, and the client told so", told_anew, REQUEUED_SECONDS)
    ends = [one.ended_at - wiped_at for one in told if one.ended_at is not None]
    trial.measured("F5", "Redis without its data: the whole reply", ends)
    assert _all_processes(trial) == before
    (life,) = trial.hazards.lives
    streams = [one.stream for one in told]
    async with opened(life) as redis:
        held = {(events[0].stream, events[0].epoch) async for events in held_streams(redis, streams)}
    assert held == set(zip(streams, epochs, strict=True))


@pytest.mark.parametrize("how", ["stopped", "silent"])
async def test_without_postgres_a_gateway_that_doubts_the_names_it_knows_accepts_messages(
    trial: Trial, how: str
) -> None:
    before = _all_processes(trial)
    player = await trial.player()
    assert (await player.say()).state == "done"
    outage = trial.hazards.stopped if how == "stopped" else trial.hazards.silent
    async with outage(trial.stack.postgres, "postgres"):
        await trial.hazards.cut(trial.stack.redis, "redis")
        await until(partial(_followed, trial), SUBSCRIBED_SECONDS)
        told = await player.say()
        assert (told.state, told.refusals) == ("done", [])
    assert _all_processes(trial) == before


def _all_processes(trial: Trial) -> dict[str, int]:
    return {name: pid for name, pid in trial.stack.running.pids.items() if name not in ("valkey", "postgres")}


async def _followed(trial: Trial) -> bool:
    """Both gateways hear again of changed personas."""
    async with cast(Any, Redis.from_url(trial.stack.redis_url)) as redis:
        ((_, subscribers),) = await redis.pubsub_numsub(keys.PERSONA_CHANNEL)
        return int(subscribers) >= len(trial.stack.doors)
