"""Sockets whose packets vanish: the gateway lets go of them, and their clients come back without a loss."""

from __future__ import annotations

import asyncio
import time

import pytest

from bench.soak.link import PING_SECONDS
from bench.soak.player import Way
from bench.soak.told import Told
from pmcp_common.testing.waiting import until
from tests.faults.conftest import SHORT_HEARTBEAT_SECONDS, Trial
from tests.faults.isolated.conftest import dropped, open_connections

pytestmark = pytest.mark.asyncio(loop_scope="session")

FOUND_SECONDS = 35.0
DEAD_SECONDS = 5.0
"""What the gateway adds to two heartbeats before it drops the connection."""
NOISE_SECONDS = 3.0
BACK_SECONDS = 15.0
CONNECTIONS, STREAMS = "pmcp_gateway_connections", "pmcp_gateway_streams"


async def test_a_half_open_socket_is_found_and_its_client_resumes(trial: Trial) -> None:
    """One for each way of coming back."""
    trial.script(gap_ms=100, tokens=80)
    direct = trial.stack.running.gateway_urls[:1]
    _, port = trial.stack.address_of("gateway")
    players = [await trial.player(number, urls=direct, way=way) for number, way in enumerate(Way)]
    told = [player.begin() for player in players]
    hearing = [asyncio.create_task(player.hear(one)) for player, one in zip(players, told, strict=True)]
    for one in told:
        await one.until_shown(3)
    assert await trial.stack.metric("gateway", CONNECTIONS) == len(players)
    async with dropped(trial.hazards, port) as lost:
        lost_at = time.monotonic()

        async def let_go() -> bool:
            return await trial.stack.metric("gateway", CONNECTIONS) <= len(players) and not _accepted(port, lost)

        async def pause(one: Told) -> float:
            await one.until(lambda told: bool(told.resumes) or told.end is not None, BACK_SECONDS)
            return time.monotonic() - lost_at

        pauses = await asyncio.gather(*(pause(one) for one in told))
        what = f"packets vanish (the client pings every {PING_SECONDS:g} s): its stream goes on"
        trial.measured("—", what, pauses, BACK_SECONDS)
        allowed = trial.size.of(2 * SHORT_HEARTBEAT_SECONDS + DEAD_SECONDS + NOISE_SECONDS, FOUND_SECONDS)
        await until(let_go, allowed + NOISE_SECONDS, pause_seconds=0.1)
        found = time.monotonic() - lost_at
    assert found <= allowed
    trial.measured("—", f"half-open socket ({_heartbeat(trial)}): the gateway lets go", [found], FOUND_SECONDS)
    await asyncio.gather(*hearing)
    assert [one.state for one in told] == ["done"] * len(told)
    for player in players:
        await player.hang_up()
    await until(lambda: _nothing_held(trial), BACK_SECONDS)


def _heartbeat(trial: Trial) -> str:
    return trial.size.of(f"heartbeat {SHORT_HEARTBEAT_SECONDS:g} s", "heartbeat as shipped")


def _accepted(port: int, clients: list[int]) -> set[int]:
    """Of these clients' connections, those the gateway's side still holds."""
    return set(open_connections(port, ours=False)) & set(clients)


async def _nothing_held(trial: Trial) -> bool:
    held = [await trial.stack.metric("gateway", name) for name in (CONNECTIONS, STREAMS)]
    return held == [0.0, 0.0]
