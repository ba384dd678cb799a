"""Twelve hours of one persona among fifty players, by an injected clock: every number stays in its range."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pmcp_common.contracts.personas import Persona
from pmcp_persona import emotion, interaction, relationship
from pmcp_persona.turn_effects import Inner, Turn, after_turn

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
ARIA = Persona(id="aria", version=1, name="Aria", energy=150, available_time=600, created_at=NOW)
PLAYERS = 50
HOURS = 12


def assert_in_range(inner: Inner, now: datetime) -> None:
    state = interaction.view(interaction.advance(inner.standing, ARIA, now), now)
    assert 0 <= state.social_energy <= ARIA.energy
    assert 0 <= state.available_time <= ARIA.available_time
    assert state.interaction_fatigue >= 0
    bond, mood = inner.bond, emotion.fade(inner.feelings, now)
    assert all(-1 <= value <= 1 for value in (bond.affinity, bond.trust, bond.respect, mood.mood))
    assert -1 <= relationship.strength(bond) <= 1
    assert all(0 <= value <= 1 for value in (bond.intimacy, relationship.compatibility(bond)))
    assert all(0 <= getattr(mood, name) <= 1 for name in emotion.BASELINE if name != "mood")


@pytest.mark.parametrize("seed", range(5))
def test_a_day_of_talks_keeps_every_number_in_range(seed: int) -> None:
    dice = random.Random(seed)
    feelings = emotion.calm(NOW)
    known = [Inner(interaction.rested(ARIA, NOW), relationship.strangers(NOW), feelings) for _ in range(PLAYERS)]
    kindness = [dice.uniform(-1, 1) for _ in range(PLAYERS)]
    now, end, turns = NOW, NOW + timedelta(hours=HOURS), 0
    while now < end:
        now += timedelta(seconds=dice.expovariate(1 / 10))
        player = dice.randrange(PLAYERS)
        before = replace(known[player], feelings=feelings)
        if not interaction.is_available(interaction.advance(before.standing, ARIA, now), now):
            continue
        quality = min(1.0, max(-1.0, dice.gauss(kindness[player], 0.5)))
        after = after_turn(before, ARIA, Turn(dice.uniform(0, 120), quality), now)
        if dice.random() < 0.05:
            cooled = interaction.cool_down(after.standing, ARIA, dice.uniform(0, 100), now)
            after = replace(after, standing=cooled)
        assert_in_range(after, now)
        known[player], feelings, turns = after, after.feelings, turns + 1
    assert turns > 1000
    rested = now + timedelta(hours=HOURS)
    for inner in known:
        assert_in_range(inner, rested)
        assert interaction.is_available(interaction.advance(inner.standing, ARIA, rested), rested)
