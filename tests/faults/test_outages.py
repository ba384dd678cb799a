"""F5 and F6: Redis and Postgres that die, fall silent or are stopped, under a conversation that goes on."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from bench.soak.holdings import held_rows
from bench.soak.player import Player, Way
from bench.soak.told import Told
from pmcp_common.contracts.errors import UNAVAILABLE
from pmcp_common.contracts.frames import DURABLE, VOLATILE
from pmcp_common.testing.process_killer import Action
from pmcp_common.testing.waiting import until
from tests.faults.conftest import Trial

pytestmark = pytest.mark.asyncio(loop_scope="session")

REFUSED_SECONDS = 1.0
NOISE_SECONDS = 0.3
"""What two busy cores may add to the one refusal of the short form: nine tenths of the second are a time-out."""
SILENT_SECONDS = 20.0
SHORT_SILENT_SECONDS = 4.0
BACK_SECONDS = 10.0
"""The design says nothing; a client's own pause is within it."""
BACKFILL_SECONDS = 30.0
LATEST_RETRY_SECONDS = 3.0
UNHURRIED_MS = 600.0
"""To a first token that does not overtake the word that the message is recorded: that makes it durable."""


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
    for _ in range(trial.size.of(1, 10)):
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
    others = await trial.players(4)
    for one in others:
        assert (await one.say()).state == "done"  # its session is stored: only the message itself will be refused
    sockets = await _sockets_opened(trial)
    async with trial.hazards.silent(trial.stack.redis, "redis"):
        silent_at = time.monotonic()
        asked = [one.begin() for one in others]
        waiting = [asyncio.create_task(one.hear(message)) for one, message in zip(others, asked, strict=True)]
        refusals = await asyncio.gather(*(_refusal_seconds(one) for one in asked))
        what = "Redis silent: a message refused with a time to come back"
        trial.measured("F5", what, refusals, REFUSED_SECONDS, noise=NOISE_SECONDS)
        await asyncio.sleep(trial.size.of(SHORT_SILENT_SECONDS, SILENT_SECONDS) - (time.monotonic() - silent_at))
    back_at = time.monotonic()
    for message in asked:
        _assert_told_when_to_come_back(message)
    await asyncio.gather(*hearing, *waiting)
    assert [one.state for one in (*told, *asked)] == ["done"] * 6
    first = [one.first_at - back_at for one in asked if one.first_at is not None]
    trial.measured("F5", "Redis speaks again: first word of a refused message", first, BACK_SECONDS)
    assert await _sockets_opened(trial) == sockets
    assert await _all_processes(trial) == before


@pytest.mark.parametrize("how", ["stopped", "silent"])
async def test_without_redis_and_postgres_messages_are_refused_and_all_comes_back(trial: Trial, how: str) -> None:
    trial.script(gap_ms=60)
    before = await _all_processes(trial)
    told, hearing = await _begin(trial, 2)
    others = await trial.players(3)
    for one in others:
        assert (await one.say()).state == "done"
    sockets = await _sockets_opened(trial)
    outage = trial.hazards.stopped if how == "stopped" else trial.hazards.silent
    async with outage(trial.stack.redis, "redis"), outage(trial.stack.postgres, "postgres"):
        gone_at = time.monotonic()
        asked = [one.begin() for one in others]
        waiting = [asyncio.create_task(one.hear(message)) for one, message in zip(others, asked, strict=True)]
        refusals = await asyncio.gather(*(_refusal_seconds(one) for one in asked))
        what = f"Redis and Postgres {how}: a message refused with a time to come back"
        trial.measured("F5", what, refusals, REFUSED_SECONDS, noise=NOISE_SECONDS)
        await asyncio.sleep(trial.size.of(SHORT_SILENT_SECONDS, SILENT_SECONDS) - (time.monotonic() - gone_at))
    back_at = time.monotonic()
    for message in asked:
        _assert_told_when_to_come_back(message)
    await asyncio.gather(*hearing, *waiting)
    assert [message.state for message in (*told, *asked)] == ["done"] * 5
    first = [message.first_at - back_at for message in asked if message.first_at is not None]
    trial.measured("F5", f"Redis and Postgres {how}, then back: first word of a refused message", first, BACK_SECONDS)
    for one, message in zip(others, asked, strict=True):
        await until(partial(_rows_of, trial, one, message), BACKFILL_SECONDS)
    assert await _sockets_opened(trial) == sockets
    assert await _all_processes(trial) == before


def _assert_told_when_to_come_back(asked: Told) -> None:
    assert set(asked.refusals) == {UNAVAILABLE.code}
    assert len(asked.retry_after) == len(asked.refusals)
    assert all(seconds is not None and 0 < seconds <= LATEST_RETRY_SECONDS for seconds in asked.retry_after)


async def _refusal_seconds(asked: Told) -> float:
    await asked.until(lambda one: bool(one.refusals), 30.0)
    assert asked.refusals[0] == UNAVAILABLE.code
    return time.monotonic() - asked.sent_at


async def _sockets_opened(trial: Trial) -> list[int]:
    """At each door so far: one that stays open is not opened again."""
    return [door.statistics.accepted for door in trial.stack.doors]


@pytest.mark.parametrize("how", ["stopped", "silent"])
async def test_without_postgres_chat_goes_on_and_its_rows_follow_once(trial: Trial, how: str) -> None:
    before = await _all_processes(trial)
    player = await trial.player()
    trial.script(ttft_ms=UNHURRIED_MS)
    first = await player.say()
    assert (first.state, first.durability) == ("done", DURABLE)
    trial.script()
    outage = trial.hazards.stopped if how == "stopped" else trial.hazards.silent
    async with outage(trial.stack.postgres, "postgres"):
        begun_at = time.monotonic()
        meanwhile = [await player.say()]
        while time.monotonic() - begun_at < trial.size.of(0.0, SILENT_SECONDS):
            meanwhile.append(await player.say())
    for told in meanwhile:
        assert told.end is not None
        assert (told.state, told.durability, told.end["persisted"]) == ("done", VOLATILE, False)
    took = [told.ended_at - told.sent_at for told in meanwhile if told.ended_at is not None]
    trial.measured("F6", f"Postgres {how}: a whole reply", took)
    healed_at = time.monotonic()
    for told in meanwhile:
        await until(partial(_rows_of, trial, player, told), BACKFILL_SECONDS)
    trial.measured(
        "F6", f"Postgres {how}, then back: every row there", [time.monotonic() - healed_at], BACKFILL_SECONDS
    )
    trial.script(ttft_ms=UNHURRIED_MS)
    again = await player.say()
    assert again.end is not None
    assert (again.state, again.durability, again.end["persisted"]) == ("done", DURABLE, True)
    assert await _all_processes(trial) == before


async def _rows_of(trial: Trial, player: Player, told: Told) -> bool:
    rows = await held_rows(trial.stack, [player.player])
    return [row.message_id for row in rows].count(told.message_id) == 1


async def test_postgres_killed_comes_back_and_nothing_is_missing(trial: Trial) -> None:
    trial.script(gap_ms=60)
    before = await _all_processes(trial)
    for _ in range(trial.size.of(1, 5)):
        told, hearing = await _begin(trial, 4)
        await trial.hazards.strike("postgres", Action.KILL)
        await asyncio.gather(*hearing)
        assert [one.state for one in told] == ["done"] * 4
    assert await _all_processes(trial) == before


@pytest.mark.parametrize("how", ["fails", "hangs"])
async def test_without_vector_search_a_reply_comes_and_says_what_it_lacks(trial: Trial, how: str) -> None:
    player = await trial.player()
    assert (await player.say()).state == "done"
    outage = trial.hazards.searching_fails if how == "fails" else trial.hazards.searching_hangs
    async with outage():
        without = [await player.say() for _ in range(trial.size.of(2, 20))]
    for told in without:
        assert told.end is not None
        assert (told.state, told.end["memory"], told.end["persisted"]) == ("done", "unavailable", True)
    took = [told.ended_at - told.sent_at for told in without if told.ended_at is not None]
    trial.measured("F6", f"vector search {how}: a whole reply", took)
    again = await player.say()
    assert again.end is not None
    assert again.end["memory"] == "ok"
