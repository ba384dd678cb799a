"""Moods: ranges, fading that does not depend on who looks when, and what kind and unkind words do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_persona.emotion import BASELINE, HALF_LIFE_SECONDS, LEAST, Feelings, calm, changes, fade, put, touch

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
seconds = st.floats(0, 1_000_000)


@st.composite
def feelings(draw: st.DrawFn) -> Feelings:
    values = {name: draw(st.floats(LEAST[name], 1)) for name in BASELINE}
    return Feelings(**values, last_updated=NOW)


def after(span: float) -> datetime:
    return NOW + timedelta(seconds=span)


def test_a_new_persona_has_the_values_existing_clients_know() -> None:
    new = calm(NOW)
    assert (new.mood, new.energy_level, new.stress_level, new.curiosity, new.social_battery) == (
        0.5,
        0.7,
        0.3,
        0.6,
        0.8,
    )


@pytest.mark.parametrize("name", BASELINE)
def test_half_of_what_moved_a_value_is_gone_after_its_half_life(name: str) -> None:
    moved = put(calm(NOW), {name: 1.0}, NOW)
    faded = fade(moved, after(HALF_LIFE_SECONDS[name]))
    assert getattr(faded, name) == pytest.approx((1.0 + BASELINE[name]) / 2)


@given(feelings(), seconds, seconds)
def test_fading_in_two_steps_is_fading_in_one(start: Feelings, first: float, second: float) -> None:
    once = fade(start, after(first + second))
    twice = fade(fade(start, after(first)), after(first + second))
    assert [getattr(once, name) for name in BASELINE] == pytest.approx([getattr(twice, name) for name in BASELINE])


@given(feelings(), st.lists(st.tuples(seconds, st.floats(-1, 1), st.floats(0, 3600)), max_size=8))
def test_any_course_of_talks_and_pauses_stays_in_range(
    start: Feelings, course: list[tuple[float, float, float]]
) -> None:
    now = NOW
    for pause, quality, duration in course:
        now += timedelta(seconds=pause)
        start = touch(start, quality, duration, now)
        assert all(LEAST[name] <= getattr(start, name) <= 1 for name in BASELINE)


def test_kind_words_lift_and_unkind_ones_trouble() -> None:
    kind, unkind = touch(calm(NOW), 1, 30, NOW), touch(calm(NOW), -1, 30, NOW)
    assert kind.mood > 0.5 > unkind.mood
    assert kind.stress_level < 0.3 < unkind.stress_level
    assert kind.social_battery == unkind.social_battery < 0.8


@given(feelings(), st.dictionaries(st.sampled_from(sorted(BASELINE)), st.floats(-100, 100)))
def test_what_is_set_by_hand_is_clamped_and_the_rest_stays(start: Feelings, values: dict[str, float]) -> None:
    changed = put(start, values, NOW)
    for name in BASELINE:
        wanted = values.get(name, getattr(start, name))
        assert getattr(changed, name) == min(1, max(LEAST[name], wanted))


def test_changes_name_only_what_moved_and_not_what_faded() -> None:
    start = put(calm(NOW), {"mood": -1.0}, NOW)
    assert changes(start, put(start, {"curiosity": 0.9}, after(3600))) == {"curiosity": pytest.approx(0.3)}


def test_a_clock_behind_changes_nothing() -> None:
    start = put(calm(NOW), {"mood": -1.0}, NOW)
    assert fade(start, after(-60)) == start
