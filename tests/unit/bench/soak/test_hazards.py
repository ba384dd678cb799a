"""Which faults come is drawn so that none is left out, and only few of them excuse a second call of the model."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.soak.hazards import CHOICES, HIDES_HANGUP, Bag, Choice, Hazards, storm
from pmcp_common.testing.history import Recorder, read_history
from pmcp_common.testing.history_entries import FaultDone

FAULTS_OF_HALF_AN_HOUR = 280
LEAST = 5


async def nothing(hazards: Hazards) -> None:
    pass


def test_a_bag_gives_each_kind_as_often_as_it_weighs() -> None:
    bag = Bag([Choice("rare", 1, nothing), Choice("frequent", 3, nothing)], random.Random(7))
    drawn = [bag.draw().name for _ in range(12)]
    for start in range(0, 12, 4):
        assert Counter(drawn[start : start + 4]) == {"rare": 1, "frequent": 3}


def test_the_same_seed_draws_the_same() -> None:
    bags = [Bag(CHOICES, random.Random(7)) for _ in range(2)]
    first, second = ([bag.draw().name for _ in range(100)] for bag in bags)
    assert first == second


def test_half_an_hour_brings_each_kind_at_least_five_times() -> None:
    bag = Bag(CHOICES, random.Random(7))
    drawn = Counter(bag.draw().name for _ in range(FAULTS_OF_HALF_AN_HOUR))
    assert min(drawn[choice.name] for choice in CHOICES) >= LEAST


async def test_what_cannot_be_done_now_is_done_before_the_bag_is_filled_again() -> None:
    done: list[str] = []
    away = ["worker"]
    enough = asyncio.Event()

    def note(what: str) -> None:
        done.append(what)
        if len(done) == 2:
            enough.set()

    async def strike(hazards: Hazards) -> None:
        if away:
            raise KeyError(away.pop())
        note("strike")

    async def cut(hazards: Hazards) -> None:
        note("cut")

    hazards = cast(Hazards, SimpleNamespace(chance=random.Random(7)))
    raging = asyncio.create_task(storm(hazards, [Choice("strike", 1, strike), Choice("cut", 1, cut)], (0.0, 0.0)))
    async with asyncio.timeout(5.0):
        await enough.wait()
    raging.cancel()
    await asyncio.gather(raging, return_exceptions=True)
    assert Counter(done[:2]) == {"strike": 1, "cut": 1}


@pytest.mark.parametrize(
    ("target", "action", "hides"),
    [
        ("worker", "pause", True),
        ("valkey", "pause", True),
        ("redis", "silent", True),
        ("model", "silent", True),
        ("gateway", "pause", False),
        ("memory", "pause", False),
        ("postgres", "silent", False),
        ("clients", "silent", False),
        ("worker", "kill", False),
    ],
)
async def test_a_fault_excuses_a_second_call_only_if_it_keeps_the_first_from_being_hung_up(
    tmp_path: Path, target: str, action: str, hides: bool
) -> None:
    with Recorder(tmp_path / "history") as recorder:
        hazards = Hazards(cast(Any, None), recorder, random.Random(7))
        async with hazards.noted(target, action):
            pass
    (fault,) = read_history(tmp_path / "history")
    assert isinstance(fault, FaultDone)
    assert fault.hides_hangup is hides
    assert len(HIDES_HANGUP) == 4
