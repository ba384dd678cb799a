"""One turn: it tires by its own time, and is felt as half a minute at least."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_common.contracts.personas import Persona
from pmcp_persona import emotion, interaction, relationship
from pmcp_persona.turn_effects import Inner, Turn, after_turn

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ARIA = Persona(id="aria", version=1, name="Aria", energy=150, available_time=600, created_at=NOW)
FRESH = Inner(interaction.rested(ARIA, NOW), relationship.strangers(NOW), emotion.calm(NOW))


def test_a_quick_reply_counts_as_half_a_minute_together() -> None:
    after = after_turn(FRESH, ARIA, Turn(3, 1.0), NOW)
    assert after.bond.total_seconds == 30
    assert after.standing.available_seconds == 597
    assert after.bond.affinity == pytest.approx(0.05 / 60)


def test_a_turn_nobody_judged_moves_no_feeling_for_the_other() -> None:
    after = after_turn(FRESH, ARIA, Turn(3, 0.0), NOW).bond
    assert (after.affinity, after.trust, after.respect, after.intimacy) == (0, 0, 0, 0)
    assert after.interaction_count == 1


@given(st.floats(0, 3600), st.floats(-1, 1))
def test_kindness_and_mood_go_the_same_way(seconds: float, quality: float) -> None:
    after = after_turn(FRESH, ARIA, Turn(seconds, quality), NOW)
    for moved in (after.bond.affinity, after.feelings.mood - 0.5):
        assert moved * quality >= 0
