"""Twelve hours of fifty sessions with one persona, by an injected clock: every number stays in its documented range.

Runs the pure rules of the persona service and of the worker together, as the off-path job does after each reply.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from pmcp_common.contracts.personas import InteractionState, Persona
from pmcp_common.contracts.talks import CONTINUE_AT, Routing
from pmcp_llm_worker.continue_score import OtherSide, score_continuation
from pmcp_llm_worker.reply_plan import plan_reply
from pmcp_persona import emotion, interaction, relationship
from pmcp_persona.turn_effects import Inner, Turn, after_turn

START = datetime(2026, 5, 9, 8, tzinfo=UTC)
HOURS = 12
SESSIONS = 50
ARIA = Persona(
    id="aria",
    version=1,
    name="Aria",
    charisma=18,
    topic_preferences={"music": 95},
    energy=150,
    available_time=600,
    created_at=START,
)


def in_range(state: InteractionState, inner: Inner) -> None:
    assert 0 <= state.social_energy <= 200
    assert 0 <= state.available_time <= ARIA.available_time
    assert state.interaction_fatigue >= 0
    assert 0 <= state.interest_level <= 100
    bond = inner.bond
    assert all(-1 <= value <= 1 for value in (bond.affinity, bond.trust, bond.respect))
    assert 0 <= bond.intimacy <= 1
    assert 0 <= relationship.compatibility(bond) <= 1
    feelings = inner.feelings
    assert -1 <= feelings.mood <= 1
    parts = (feelings.energy_level, feelings.stress_level, feelings.curiosity, feelings.social_battery)
    assert all(0 <= value <= 1 for value in parts)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_day_keeps_every_number_in_range_and_wears_nobody_out_for_ever(seed: int) -> None:
    chance = random.Random(seed)
    first = Inner(interaction.rested(ARIA, START), relationship.strangers(START), emotion.calm(START))
    sessions = [first] * SESSIONS
    routings: set[Routing] = set()
    now, answered = START, 0
    while now < START + timedelta(hours=HOURS):
        now += timedelta(seconds=chance.expovariate(1 / 8))
        number = chance.randrange(SESSIONS if chance.random() < 0.5 else 2)
        inner = sessions[number]
        standing = interaction.advance(inner.standing, ARIA, now)
        state = interaction.view(standing, now)
        in_range(state, inner)
        if not state.is_available:
            continue
        compatibility = relationship.compatibility(inner.bond)
        other = OtherSide(compatibility=compatibility)
        score = score_continuation(ARIA, state, "music", tokens_left=chance.randrange(1, 800), other=other).total
        assert 0 <= score <= 100
        routing = plan_reply(score).routing
        routings.add(routing)
        assert (routing is Routing.CLOSING) == (score < CONTINUE_AT)
        if routing is not Routing.CLOSING:
            answered += 1
            turn = Turn(chance.uniform(0.2, 40.0), chance.uniform(-1, 1))
            sessions[number] = after_turn(inner, ARIA, turn, now)
    assert answered > SESSIONS
    assert routings >= {Routing.SHORTENED, Routing.CONSTRAINED, Routing.CLOSING}
    rested = now + timedelta(hours=2)
    for inner in sessions:
        assert interaction.view(interaction.advance(inner.standing, ARIA, rested), rested).is_available
