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

REPLAY_SECONDS = 0.15
"""Of 95 in 100 resumes: from the attempt to connect to the stream's next frame."""
BACK_SECONDS = 5.0
BACK_ALONE_SECONDS = 10.0
NOISE_SECONDS = 5.0
"""What two busy cores may add: a process takes its imports' time to start."""
CRASH_LOOP_SECONDS = 60.0
"""Of a part that dies more than once within them the supervisor waits longer and longer before it starts it again."""
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
    """1,000 streams in the long form, a quarter of them for each way to come back."""
    trial.script(gap_ms=40)
    players = await trial.players(trial.size.of(8, 10), way=way)
    async with cut_again_and_again(trial, trial.size.of((0.1, 0.6), (0.1, 2.0))):
        for _ in range(trial.size.of(3, 25)):
            told = await asyncio.gather(*(player.say() for player in players))
            assert [one.state for one in told] == ["done"] * len(players)
    everything = [one for player in players for one in player.told]
    replays = [seconds for one in everything for seconds in one.replays]
    trial.measured("F1", "socket cut: from connecting to the next frame", replays, REPLAY_SECONDS, share=0.95, noise=1)
    trial.measured("F1", "the same with the client's own pause", [s for one in everything for s in one.resumes])


async def _mid_stream(players: list[Player]) -> tuple[list[Told], list[asyncio.Task[Told]]]:
    told = [player.begin() for player in players]
    hearing = [asyncio.create_task(player.hear(one)) for player, one in zip(players, told, strict=True)]
    for one in told:
        await one.until_shown(3)
    return told, hearing


async def test_with_two_gateways_the_death_of_one_costs_its_clients_a_reconnect(trial: Trial) -> None:
    trial.script(gap_ms=60, tokens=30)
    for _ in range(trial.size.of(1, 10)):
        told, hearing = await _mid_stream(await trial.players(6, way=Way.LIBRARY))
        struck = asyncio.create_task(trial.hazards.strike("gateway", Action.KILL))
        await asyncio.gather(*hearing)
        await struck
        assert [one.state for one in told] == ["done"] * 6
        resumes = [pause for one in told for pause in one.resumes]
        trial.measured("F2", "one of two gateways killed: back on the stream", resumes, BACK_SECONDS)


async def test_the_death_of_the_only_gateway_costs_its_restart(trial: Trial) -> None:
    trial.script(gap_ms=60, tokens=30)
    alone = trial.stack.urls[1:2]
    for _ in range(trial.size.of(1, 3)):
        await asyncio.sleep(trial.size.of(0.0, CRASH_LOOP_SECONDS))
        told, hearing = await _mid_stream(await trial.players(4, urls=alone, way=Way.LIBRARY))
        await trial.hazards.strike("gateway-2", Action.KILL)
        await asyncio.gather(*hearing)
        assert [one.state for one in told] == ["done"] * 4
        resumes = [pause for one in told for pause in one.resumes]
        what = "the only gateway killed: back on the stream"
        trial.measured("F2", what, resumes, BACK_ALONE_SECONDS, noise=NOISE_SECONDS)


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
            for name in ("gateway", "worker", "gateway-2", "worker-2") * trial.size.of(1, 3):
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
        kind = name.partition("-")[0]
        trial.measured("F4", f"SIGTERM to a {kind}: drained and gone", [time.monotonic() - at], DRAIN_SECONDS)
        await trial.stack.back(name, old)
