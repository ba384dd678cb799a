"""F1, F2 and F4: sockets that are cut, gateways that die, and restarts one after the other."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from bench.soak.player import Player, Way
from bench.soak.told import Told
from pmcp_client.backoff import Reconnect
from pmcp_common.contracts.closing import RESTART, seconds_away
from pmcp_common.testing.history import read_history
from pmcp_common.testing.history_entries import SocketClosed
from pmcp_common.testing.process_killer import Action, Outcome, ProcessKiller, Target
from tests.faults.conftest import SEED, Trial

pytestmark = pytest.mark.asyncio(loop_scope="session")

CUT_SECONDS = 0.1, 2.0
"""Between two cuts of one client's socket."""
REPLAY_SECONDS = 0.15
"""Of 95 in 100 resumes: from the attempt to connect to the stream's next frame."""
BACK_SECONDS = 5.0
BACK_ALONE_SECONDS = 10.0
NOISE_SECONDS = 0.15
"""What two busy cores may add to the 95th of a hundred resumes."""
CRASH_LOOP_SECONDS = 60.0
"""Of a part that dies more than once within them the supervisor waits longer and longer before it starts it again."""
DRAIN_SECONDS = 10.0
SHIPPED = Reconnect()


@asynccontextmanager
async def cut_again_and_again(trial: Trial, players: Sequence[Player]) -> AsyncIterator[Counter[str]]:
    """Each client's socket is reset again and again, at times of its own; counted by client."""
    cuts: Counter[str] = Counter()

    async def cutting(player: Player) -> None:
        chance = random.Random(f"{SEED}.{player.name}")
        while True:
            await asyncio.sleep(chance.uniform(*CUT_SECONDS))
            if player.plug is not None and await trial.hazards.cut_one(player.plug):
                cuts[player.name] += 1

    tasks = [asyncio.create_task(cutting(player)) for player in players]
    try:
        yield cuts
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended


@pytest.mark.parametrize("way", list(Way))
async def test_sockets_cut_again_and_again_lose_nothing(trial: Trial, way: Way) -> None:
    """1,000 streams in the long form, a quarter of them for each way to come back."""
    trial.script(gap_ms=40)
    players = await trial.players(trial.size.of(8, 10), way=way)
    rounds = trial.size.of(3, 25)
    async with cut_again_and_again(trial, players) as cuts:
        for _ in range(rounds):
            told = await asyncio.gather(*(player.say() for player in players))
            assert [one.state for one in told] == ["done"] * len(players)
    # A reply of 24 tokens takes a second, as long as a socket lives in the mean.
    assert min(cuts[player.name] for player in players) >= rounds // 3, cuts
    assert cuts.total() >= len(players) * rounds // 2, cuts
    trial.measured("F1", "cuts of one client's socket", [float(cuts[player.name]) for player in players], unit="")
    everything = [one for player in players for one in player.told]
    replays = [seconds for one in everything for seconds in one.replays]
    what = "socket cut: from connecting to the next frame"
    trial.measured("F1", what, replays, REPLAY_SECONDS, share=0.95, noise=NOISE_SECONDS)
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
        told, hearing = await _mid_stream(await trial.players(6, way=Way.LIBRARY, reconnect=SHIPPED))
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
        quick = await trial.players(4, urls=alone, way=Way.LIBRARY)
        # Their pauses grow to seconds while the gateway starts; how long they take is said, and not promised.
        patient = await trial.players(trial.size.of(0, 4), urls=alone, way=Way.LIBRARY, reconnect=SHIPPED)
        told, hearing = await _mid_stream([*quick, *patient])
        await trial.hazards.strike("gateway-2", Action.KILL)
        await asyncio.gather(*hearing)
        assert [one.state for one in told] == ["done"] * len(told)
        what = "the only gateway killed: back on the stream"
        trial.measured("F2", what, _resumes(quick), BACK_ALONE_SECONDS)
        if patient:
            trial.measured("F2", f"{what}, with the pauses as shipped", _resumes(patient))


def _resumes(players: Sequence[Player]) -> list[float]:
    return [pause for player in players for one in player.told for pause in one.resumes]


async def test_a_rolling_restart_fails_no_request(trial: Trial) -> None:
    trial.script(gap_ms=30)
    players = await trial.players(6, way=Way.LIBRARY, reconnect=SHIPPED)
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
    everything = [one for player in players for one in player.told]
    assert [code for one in everything for code in one.refusals] == []
    trial.recorder.flush()
    closed = [entry for entry in read_history(trial.path) if isinstance(entry, SocketClosed)]
    assert {entry.code for entry in closed} == {RESTART.code}
    assert all(seconds_away(entry.reason) is not None for entry in closed)
    assert {entry.client for entry in closed} == {player.name for player in players}  # each gateway went once
    trial.measured("F4", "a gateway restarted: back on the stream", _resumes(players), BACK_SECONDS)


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
