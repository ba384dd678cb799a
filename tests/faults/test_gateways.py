"""F1, F2 and F4: sockets that are cut, gateways that die, and restarts one after the other."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bench.soak.player import Player, Way
from bench.soak.told import Told
from pmcp_common.testing.history import read_history
from pmcp_common.testing.history_entries import SocketClosed
from pmcp_common.testing.process_killer import Action, Outcome, ProcessKiller, Target
from tests.faults.conftest import SEED, Trial

pytestmark = pytest.mark.asyncio(loop_scope="session")

BACK_SECONDS = 5.0
BACK_ALONE_SECONDS = 10.0
NOISE_SECONDS = 5.0
"""What two busy cores may add: a process takes its imports' time to start."""
DRAIN_SECONDS = 10.0
RESTART = 1012


@asynccontextmanager
async def cut_again_and_again(trial: Trial, seconds: tuple[float, float]) -> AsyncIterator[None]:
    """Each client's socket is reset again and again, at its own times."""
    chance = random.Random(SEED)

    async def cutting() -> None:
        while True:
            await asyncio.sleep(chance.uniform(*seconds))
            await trial.hazards.cut(chance.choice(trial.stack.doors), "clients", 0.6)

    task = asyncio.create_task(cutting())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("way", list(Way))
async def test_sockets_cut_again_and_again_lose_nothing(trial: Trial, way: Way) -> None:
    trial.script(gap_ms=40)
    players = await trial.players(8, way=way)
    async with cut_again_and_again(trial, (0.1, 0.6)):
        for _ in range(3):
            told = await asyncio.gather(*(player.say() for player in players))
            assert [one.state for one in told] == ["done"] * len(players)
    resumes = [pause for player in players for one in player.told for pause in one.resumes]
    assert resumes


async def _mid_stream(players: list[Player]) -> tuple[list[Told], list[asyncio.Task[Told]]]:
    told = [player.begin() for player in players]
    hearing = [asyncio.create_task(player.hear(one)) for player, one in zip(players, told, strict=True)]
    for one in told:
        await one.until_shown(3)
    return told, hearing


async def test_with_two_gateways_the_death_of_one_costs_its_clients_a_reconnect(trial: Trial) -> None:
    trial.script(gap_ms=60, tokens=30)
    told, hearing = await _mid_stream(await trial.players(6, way=Way.LIBRARY))
    struck = asyncio.create_task(trial.hazards.strike("gateway", Action.KILL))
    await asyncio.gather(*hearing)
    await struck
    assert [one.state for one in told] == ["done"] * 6
    resumes = [pause for one in told for pause in one.resumes]
    assert resumes
    assert max(resumes) < BACK_SECONDS


async def test_the_death_of_the_only_gateway_costs_its_restart(trial: Trial) -> None:
    trial.script(gap_ms=60, tokens=30)
    alone = trial.stack.urls[1:2]
    told, hearing = await _mid_stream([await trial.player(number, alone, way=Way.LIBRARY) for number in range(4)])
    await trial.hazards.strike("gateway-2", Action.KILL)
    await asyncio.gather(*hearing)
    assert [one.state for one in told] == ["done"] * 4
    assert max(pause for one in told for pause in one.resumes) < BACK_ALONE_SECONDS + NOISE_SECONDS


async def test_a_rolling_restart_fails_no_request(trial: Trial) -> None:
    trial.script(gap_ms=30)
    players = await trial.players(6, way=Way.LIBRARY)
    over = asyncio.Event()

    async def talk(player: Player) -> None:
        while not over.is_set():
            assert (await player.say()).state == "done"

    async with asyncio.TaskGroup() as group:
        for player in players:
            group.create_task(talk(player))
        try:
            for name in ("gateway", "worker", "gateway-2", "worker-2"):
                await _end_gracefully(trial, name)
        finally:
            over.set()
    trial.recorder.flush()
    codes = [entry.code for entry in read_history(trial.path) if isinstance(entry, SocketClosed)]
    assert RESTART in codes
    assert 1006 not in codes


async def _end_gracefully(trial: Trial, name: str) -> None:
    old, at = trial.stack.running.pids[name], time.monotonic()
    async with (
        trial.hazards.noted(name.partition("-")[0], Action.TERMINATE.value),
        ProcessKiller({name: Target(old)}, exit_seconds=DRAIN_SECONDS) as killer,
    ):
        struck = await killer.strike(name, Action.TERMINATE)
        assert struck.outcome is Outcome.DONE
        assert time.monotonic() - at < DRAIN_SECONDS
        await trial.stack.back(name, old)
