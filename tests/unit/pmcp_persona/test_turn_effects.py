"""One turn: it tires by its own time, ten seconds at least, and is felt as half a minute at least."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_common.contracts.personas import Persona
from pmcp_persona import emotion, interaction, relationship
from pmcp_persona.turn_effects import Inner, Turn, after_turn, tiring_seconds, unmet

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ARIA = Persona(id="aria", version=1, name="Aria", energy=150, available_time=600, created_at=NOW)
FRESH = Inner(interaction.rested(ARIA, NOW), relationship.strangers(NOW), emotion.calm(NOW))


def test_a_quick_reply_counts_as_half_a_minute_together() -> None:
    after = after_turn(FRESH, ARIA, Turn(3, 1.0), NOW)
    assert after.bond.total_seconds == 30
    assert after.standing.available_seconds == 597
    assert after.bond.affinity == pytest.approx(0.05 / 60)


@pytest.mark.parametrize(
    ("reply", "passed", "tires"), [(3, 60, 10), (3, 4, 4), (3, 1, 3), (25, 60, 25), (25, 4, 25), (0, 0, 0)]
)
def test_a_turn_tires_by_ten_seconds_at_least_but_not_beyond_the_time_that_passed(
    reply: float, passed: float, tires: float
) -> None:
    before = interaction.rested(ARIA, NOW - timedelta(seconds=passed))
    assert tiring_seconds(before, Turn(reply, 0.0), NOW) == tires


def test_the_first_turn_tires_like_any_other() -> None:
    first = Inner(unmet(ARIA, NOW), FRESH.bond, FRESH.feelings)
    after = interaction.view(after_turn(first, ARIA, Turn(1, 0.0), NOW).standing, NOW)
    assert (after.available_time, after.last_updated) == (590, NOW)


def test_a_turn_nobody_judged_moves_no_feeling_for_the_other() -> None:
    after = after_turn(FRESH, ARIA, Turn(3, 0.0), NOW).bond
    assert (after.affinity, after.trust, after.respect, after.intimacy) == (0, 0, 0, 0)
    assert after.interaction_count == 1


@given(st.floats(0, 3600), st.floats(-1, 1))
def test_kindness_and_mood_go_the_same_way(seconds: float, quality: float) -> None:
    after = after_turn(FRESH, ARIA, Turn(seconds, quality), NOW)
    for moved in (after.bond.affinity, after.feelings.mood - 0.5):
        assert moved * quality >= 0
