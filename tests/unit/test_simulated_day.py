"""Twelve hours of fifty sessions with one persona, by an injected clock: every number stays in its documented range.

Runs the pure rules of the persona service, of the worker and of the memory service together, as the off-path job does
after each reply.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from pmcp_common.contracts.personas import InteractionState, Persona
from pmcp_common.contracts.talks import CONTINUE_AT, Routing
from pmcp_llm_worker.continue_score import ContinueScore, OtherSide, score_continuation
from pmcp_llm_worker.model import Generation
from pmcp_llm_worker.reply_plan import bound, plan_reply
from pmcp_memory.decay import FLOOR, Aging, DecayMode, decayed
from pmcp_memory.importance import importance, valence
from pmcp_persona import emotion, interaction, relationship
from pmcp_persona.turn_effects import Inner, Turn, after_turn

START = datetime(2026, 5, 9, 8, tzinfo=UTC)
HOURS = 12
SESSIONS = 50
MOST_COOLDOWN_SECONDS = 300 * 2 * 10
"""Twice the 300 s, and ten times that for a fatigue no day reaches."""
SAID = (
    "Hello there!",
    "I love that song, it made my mother cry.",
    "What do you think of the war? I lost my brother in it.",
    "ok",
    "You are a terrible singer and I hate this place.",
)
GENERATION = Generation(max_tokens=300, num_ctx=4096, temperature=0.7, top_p=0.9, repeat_penalty=1.1)
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


@dataclass
class Seen:
    """What the day brought: a number that never moves proves nothing by staying in its range."""

    routings: Counter[Routing] = field(default_factory=Counter)
    answered: int = 0
    refused: int = 0
    energies: set[int] = field(default_factory=set)
    fatigues: set[int] = field(default_factory=set)
    cooldowns: list[float] = field(default_factory=list)
    memories: list[Aging] = field(default_factory=list)


def state_in_range(state: InteractionState) -> None:
    assert 0 <= state.social_energy <= 200
    assert 0 <= state.available_time <= ARIA.available_time
    assert state.interaction_fatigue >= 0
    assert 0 <= state.interest_level <= 100
    assert 0 <= state.cooldown_remaining <= MOST_COOLDOWN_SECONDS
    open_hours = state.cooldown_remaining == 0 and state.available_time > 30 and state.social_energy > 10
    assert state.is_available == open_hours


def inner_in_range(inner: Inner) -> None:
    bond = inner.bond
    assert all(-1 <= value <= 1 for value in (bond.affinity, bond.trust, bond.respect, relationship.strength(bond)))
    assert 0 <= bond.intimacy <= 1
    assert 0 <= relationship.compatibility(bond) <= 1
    feelings = inner.feelings
    assert -1 <= feelings.mood <= 1
    parts = (feelings.energy_level, feelings.stress_level, feelings.curiosity, feelings.social_battery)
    assert all(0 <= value <= 1 for value in parts)


def score_in_range(score: ContinueScore) -> None:
    for value, most in ((score.time, 30), (score.topic, 25), (score.social, 20), (score.fatigue, 15)):
        assert 0 <= value <= most
    assert -2.5 <= score.history <= 10
    assert 0 <= score.resources <= 10
    assert 0 <= score.total <= 100


def speak(inner: Inner, said: str, budget: int, now: datetime, chance: random.Random, seen: Seen) -> Inner:
    """One message: routed, answered within its budget or with a farewell, and what follows from it."""
    state = interaction.view(inner.standing, now)
    other = OtherSide(compatibility=relationship.compatibility(inner.bond))
    score = score_continuation(ARIA, state, "music", tokens_left=budget, other=other)
    score_in_range(score)
    plan = plan_reply(score.total)
    seen.routings[plan.routing] += 1
    assert (plan.routing is Routing.CLOSING) == (score.total < CONTINUE_AT)
    if plan.routing is Routing.CLOSING:
        rested = interaction.cool_down(inner.standing, ARIA, score.total, now)
        seen.cooldowns.append(interaction.view(rested, now).cooldown_remaining)
        return replace(inner, standing=rested)
    seen.answered += 1
    tokens = bound(GENERATION, plan, budget)
    assert 1 <= tokens.max_tokens <= min(budget, GENERATION.max_tokens)
    assert 0 < tokens.temperature <= 2
    weight = importance(said)
    assert 0.1 <= weight <= 1
    assert -1 <= valence(said) <= 1
    seen.memories.append(Aging(weight, now, None, chance.randrange(4)))
    return after_turn(inner, ARIA, Turn(chance.uniform(0.2, 40.0), valence(said)), now)


@pytest.mark.parametrize("world", [False, True], ids=["player", "world"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_day_keeps_every_number_in_range_and_wears_nobody_out_for_ever(seed: int, world: bool) -> None:
    """`world`: the crowd tires the persona together."""
    chance, seen = random.Random(seed), Seen()
    first = Inner(interaction.rested(ARIA, START), relationship.strangers(START), emotion.calm(START))
    sessions = [first] * SESSIONS
    now = START
    while now < START + timedelta(hours=HOURS):
        now += timedelta(seconds=chance.expovariate(1 / 8))
        number = chance.randrange(SESSIONS if chance.random() < 0.5 else 2)
        standing = sessions[0 if world else number].standing
        inner = replace(sessions[number], standing=interaction.advance(standing, ARIA, now))
        state = interaction.view(inner.standing, now)
        state_in_range(state)
        inner_in_range(inner)
        seen.energies.add(state.social_energy)
        seen.fatigues.add(state.interaction_fatigue)
        if not state.is_available:
            seen.refused += 1
            continue
        sessions[number] = speak(inner, chance.choice(SAID), chance.randrange(1, 800), now, chance, seen)
        if world:
            sessions[0] = replace(sessions[0], standing=sessions[number].standing)
    assert seen.answered > SESSIONS
    assert seen.refused > 0
    assert seen.routings.keys() >= {Routing.SHORTENED, Routing.CONSTRAINED, Routing.CLOSING}
    assert len(seen.energies) > (3 if world else 1)
    assert len(seen.fatigues) > (5 if world else 3)
    assert all(150 <= seconds <= MOST_COOLDOWN_SECONDS for seconds in seen.cooldowns)
    assert {round(session.feelings.mood, 2) for session in sessions} != {0.5}
    rested = now + timedelta(hours=3)
    for inner in sessions:
        assert interaction.view(interaction.advance(inner.standing, ARIA, rested), rested).is_available
    memories_fade_within_bounds(seen.memories, now)


def memories_fade_within_bounds(memories: list[Aging], now: datetime) -> None:
    """Not within the day, and then never below the floor."""
    for mode in DecayMode:
        for memory in memories[:500]:
            weights = [decayed(memory, mode, now + timedelta(days=days)) for days in (0, 10, 40, 120)]
            assert weights == sorted(weights, reverse=True)
            assert all(FLOOR <= weight <= memory.initial_importance for weight in weights)
    faded = decayed(memories[0], DecayMode.EXPONENTIAL, now + timedelta(days=60))
    assert faded < memories[0].initial_importance or memories[0].initial_importance == FLOOR
