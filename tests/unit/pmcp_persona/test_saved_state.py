"""What a save holds of the personas: written and read without loss, and taken as it was, whenever it is loaded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pmcp_common.contracts.personas import Persona, Priority
from pmcp_persona import emotion, interaction, relationship
from pmcp_persona.interaction import Standing
from pmcp_persona.relationship import Pair
from pmcp_persona.saved_state import PersonaState, at_rest, from_json, from_then, to_json

THEN = datetime(2026, 3, 1, 12, tzinfo=UTC)
ARIA = Persona(id="aria", version=1, name="Aria", energy=150, available_time=600, created_at=THEN)
PAIR = Pair("local", "player", "aria", "p1")
SECONDS = st.floats(0, 10_000, allow_nan=False)


def world(energy: float, seconds: float, cooldown: float | None) -> PersonaState:
    until = None if cooldown is None else THEN + timedelta(seconds=cooldown)
    standing = Standing(50.0, 3.5, Priority.SOCIAL, seconds, energy, until, THEN)
    return PersonaState({("aria", "p1"): standing}, {PAIR: relationship.strangers(THEN)}, {"aria": emotion.calm(THEN)})


@given(energy=st.floats(0, 150), seconds=st.floats(0, 600), cooldown=st.none() | SECONDS)
def test_what_is_written_is_read(energy: float, seconds: float, cooldown: float | None) -> None:
    state = world(energy, seconds, cooldown)
    assert from_json(orjson.loads(orjson.dumps(to_json(state))), "local") == state


def test_what_an_earlier_release_has_written_is_read() -> None:
    then = "2026-03-01T12:00:00+00:00"
    standing = {
        "interest_level": 50.0,
        "interaction_fatigue": 3.5,
        "current_priority": "social",
        "available_seconds": 600.0,
        "social_energy": 40.0,
        "cooldown_until": "2026-03-01T12:00:05.000001+00:00",
        "last_updated": then,
    }
    bond = {
        **dict.fromkeys(("affinity", "trust", "respect", "intimacy", "total_seconds", "talk_seconds"), 0.0),
        "relationship_type": "stranger",
        "interaction_count": 0,
        "first_meeting": then,
        "last_interaction": then,
    }
    written = {
        "standings": [{"persona_id": "aria", "towards": "p1", **standing}],
        "bonds": [{"kind": "player", "first_id": "aria", "second_id": "p1", **bond}],
        "feelings": [{"persona_id": "aria", **emotion.BASELINE, "last_updated": then}],
    }
    assert from_json(written, "local") == world(40.0, 600.0, 5.000001)


@given(cooldown=SECONDS, waited=SECONDS, later=st.integers(0, 10**9))
def test_what_was_left_of_a_cooldown_is_left_however_much_later(cooldown: float, waited: float, later: int) -> None:
    saved_at = THEN + timedelta(seconds=waited)
    saved = at_rest(world(40.0, 10.0, cooldown), {"aria": ARIA}, saved_at)
    now = saved_at + timedelta(seconds=later)
    loaded = from_then(saved, saved_at, now).standings["aria", "p1"]
    before = interaction.view(saved.standings["aria", "p1"], saved_at)
    after = interaction.view(loaded, now)
    assert after.cooldown_remaining == before.cooldown_remaining
    assert (after.social_energy, after.available_time, after.is_available) == (
        before.social_energy,
        before.available_time,
        before.is_available,
    )


def test_relationships_keep_their_own_times() -> None:
    state = world(40.0, 10.0, None)
    assert from_then(state, THEN, THEN + timedelta(days=9)).bonds == state.bonds
