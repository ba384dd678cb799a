"""The rules of tiring and resting: ranges, rates, and that the present does not depend on who looked when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_common.contracts.personas import Persona, Priority
from pmcp_persona.interaction import Standing, advance, cool_down, is_available, rested, tire, view

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ARIA = Persona(
    id="aria", version=1, name="Aria", priority=Priority.SOCIAL, energy=150, available_time=600, created_at=NOW
)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def standing(
    *, fatigue: float = 0.0, seconds: float = 600.0, energy: float = 150.0, cooldown: datetime | None = None
) -> Standing:
    return Standing(50.0, fatigue, Priority.SOCIAL, seconds, energy, cooldown, NOW)


personas = st.builds(
    lambda energy, seconds: ARIA.model_copy(update={"energy": energy, "available_time": seconds}),
    st.integers(0, 200),
    st.integers(0, 10_000),
)
# Whole seconds: durations on the wire are seconds, and sums of them stay exact.
spans = st.integers(0, 100_000)
talks = st.floats(0, 3600, allow_nan=False)


@st.composite
def met(draw: st.DrawFn) -> tuple[Persona, Standing]:
    """A persona and any standing within its range."""
    persona = draw(personas)
    return persona, Standing(
        interest_level=50.0,
        interaction_fatigue=draw(st.floats(0, 500)),
        current_priority=Priority.NONE,
        available_seconds=draw(st.floats(0, persona.available_time)),
        social_energy=draw(st.floats(0, persona.energy)),
        cooldown_until=draw(st.none() | st.builds(after, spans)),
        last_updated=NOW,
    )


def assert_close(one: Standing, other: Standing) -> None:
    assert one.interaction_fatigue == pytest.approx(other.interaction_fatigue, abs=1e-6)
    assert one.available_seconds == pytest.approx(other.available_seconds, abs=1e-6)
    assert one.social_energy == pytest.approx(other.social_energy, abs=1e-6)
    assert one.last_updated == other.last_updated


def test_a_rested_persona_has_its_own_energy_time_and_priority() -> None:
    state = view(rested(ARIA, NOW), NOW)
    assert (state.social_energy, state.available_time, state.current_priority) == (150, 600, Priority.SOCIAL)
    assert (state.interest_level, state.interaction_fatigue, state.is_available) == (50, 0, True)
    assert (state.cooldown_until, state.cooldown_remaining) == (0.0, 0.0)


def test_two_minutes_of_talk_cost_two_energy_four_fatigue_and_two_minutes() -> None:
    tired = tire(rested(ARIA, NOW), ARIA, 120, after(120))
    assert (tired.social_energy, tired.interaction_fatigue, tired.available_seconds) == (148, 4, 480)
    assert tired.last_updated == after(120)


def test_many_short_talks_cost_as_much_as_one_long_talk() -> None:
    short = rested(ARIA, NOW)
    for turn in range(1, 41):
        short = tire(short, ARIA, 3, after(3 * turn))
    assert_close(short, tire(rested(ARIA, NOW), ARIA, 120, after(120)))


def test_talking_without_a_pause_restores_nothing() -> None:
    current = rested(ARIA, NOW)
    for turn in range(1, 11):
        current = tire(current, ARIA, 60, after(60 * turn))
    assert current.available_seconds == 0
    assert not is_available(current, after(600))


def test_the_pause_between_two_talks_is_rest() -> None:
    current = tire(standing(seconds=100, fatigue=3, energy=50), ARIA, 30, after(330))
    assert current.available_seconds == 100 + 300 - 30
    assert current.interaction_fatigue == pytest.approx(3 - 1 + 1)
    assert current.social_energy == pytest.approx(50 + 5 - 0.5)


def test_five_minutes_of_rest_take_one_point_of_fatigue() -> None:
    assert advance(standing(fatigue=2), ARIA, after(300)).interaction_fatigue == 1


def test_fatigue_falls_even_when_somebody_looks_every_minute() -> None:
    current = standing(fatigue=2)
    for minute in range(1, 6):
        current = advance(current, ARIA, after(60 * minute))
    assert current.interaction_fatigue == pytest.approx(1)


def test_rest_never_gives_more_than_the_rested_persona_has() -> None:
    full = advance(standing(seconds=0, energy=0, fatigue=9), ARIA, after(1_000_000))
    assert (full.available_seconds, full.social_energy, full.interaction_fatigue) == (600, 150, 0)


def test_a_clock_behind_the_last_update_changes_nothing() -> None:
    current = standing(fatigue=5, energy=20)
    assert advance(current, ARIA, after(-60)) == current
    assert tire(current, ARIA, 30, after(-60)).last_updated == NOW


@pytest.mark.parametrize(
    ("current", "available"),
    [
        (standing(seconds=30), False),
        (standing(seconds=30.1), True),
        (standing(energy=10), False),
        (standing(energy=10.1), True),
        (standing(cooldown=after(1)), False),
        (standing(cooldown=NOW), True),
    ],
)
def test_availability_needs_more_than_30_seconds_more_than_10_energy_and_no_cooldown(
    current: Standing, available: bool
) -> None:
    assert is_available(current, NOW) is available


def test_what_remains_of_a_cooldown_is_never_negative() -> None:
    cooling = standing(cooldown=after(90))
    assert view(cooling, NOW).cooldown_remaining == 90
    assert view(cooling, NOW).cooldown_until == after(90).timestamp()
    assert view(cooling, after(91)).cooldown_remaining == 0


@given(met(), spans, spans)
def test_resting_in_two_steps_is_resting_in_one(pair: tuple[Persona, Standing], first: int, second: int) -> None:
    persona, current = pair
    halfway = advance(current, persona, after(first))
    assert_close(advance(halfway, persona, after(first + second)), advance(current, persona, after(first + second)))


@given(met(), spans)
def test_resting_to_the_same_moment_again_changes_nothing(pair: tuple[Persona, Standing], span: int) -> None:
    persona, current = pair
    once = advance(current, persona, after(span))
    assert advance(once, persona, after(span)) == once


@given(met(), spans, spans)
def test_more_rest_never_leaves_less(pair: tuple[Persona, Standing], span: int, more: int) -> None:
    persona, current = pair
    early, late = advance(current, persona, after(span)), advance(current, persona, after(span + more))
    assert late.social_energy >= early.social_energy
    assert late.available_seconds >= early.available_seconds
    assert late.interaction_fatigue <= early.interaction_fatigue


@given(met(), talks, talks)
def test_a_longer_talk_never_costs_less(pair: tuple[Persona, Standing], one: float, other: float) -> None:
    persona, current = pair
    shorter, longer = (tire(current, persona, seconds, NOW) for seconds in sorted((one, other)))
    assert longer.social_energy <= shorter.social_energy
    assert longer.available_seconds <= shorter.available_seconds
    assert longer.interaction_fatigue >= shorter.interaction_fatigue


@given(met(), st.lists(st.tuples(st.integers(-5, 5_000), talks), max_size=8))
def test_any_course_of_talk_and_rest_stays_in_range_and_its_view_tells_the_same_availability(
    pair: tuple[Persona, Standing], course: list[tuple[int, float]]
) -> None:
    persona, current = pair
    now = NOW
    for pause, seconds in course:
        now += timedelta(seconds=pause)
        current = tire(current, persona, seconds, now)
        state = view(current, now)
        assert 0 <= current.social_energy <= persona.energy
        assert 0 <= current.available_seconds <= persona.available_time
        assert current.interaction_fatigue >= 0
        free = state.cooldown_remaining == 0
        assert state.is_available == (free and state.available_time > 30 and state.social_energy > 10)


@pytest.mark.parametrize(
    ("score", "fatigue", "seconds"),
    [(50, 0, 300), (70, 0, 300), (71, 0, 150), (30, 0, 300), (29, 0, 600), (80, 100, 300)],
)
def test_the_end_of_a_conversation_sets_a_cooldown_by_its_score_and_fatigue(
    score: float, fatigue: float, seconds: float
) -> None:
    cooled = cool_down(standing(fatigue=fatigue), ARIA, score, NOW)
    assert cooled.cooldown_until == after(seconds)
    assert not is_available(cooled, NOW)
    assert is_available(cooled, after(seconds))


def test_a_longer_cooldown_that_already_runs_stays() -> None:
    assert cool_down(standing(cooldown=after(9000)), ARIA, 90, NOW).cooldown_until == after(9000)
