"""Importance fades within its bounds, the same however often it is computed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_memory.decay import FLOOR, Aging, DecayMode, decayed, fading

NOW = datetime(2026, 6, 1, tzinfo=UTC)

importances = st.floats(0, 1)
ages = st.floats(0, 4_000)
modes = st.sampled_from(DecayMode)
counts = st.integers(0, 20)


def aged(
    importance: float, days: float, *, count: int = 0, accessed: float | None = None, pinned: bool = False
) -> Aging:
    last = None if accessed is None else NOW - timedelta(days=accessed)
    return Aging(importance, NOW - timedelta(days=days), last, count, pinned)


@given(importances, ages, modes, counts)
def test_it_never_grows_and_never_falls_below_the_floor(
    importance: float, days: float, mode: DecayMode, count: int
) -> None:
    new = decayed(aged(importance, days, count=count), mode, NOW)
    assert min(FLOOR, importance) <= new <= importance


@given(importances, ages, ages, modes, counts)
def test_older_is_never_more_important(
    importance: float, one: float, other: float, mode: DecayMode, count: int
) -> None:
    young, old = sorted((one, other))
    assert decayed(aged(importance, old, count=count), mode, NOW) <= decayed(
        aged(importance, young, count=count), mode, NOW
    )


@given(st.floats(0.801, 1), ages, modes)
def test_what_matters_much_lasts(importance: float, days: float, mode: DecayMode) -> None:
    assert decayed(aged(importance, days), mode, NOW) == importance


@given(importances, ages, modes)
def test_what_is_pinned_lasts(importance: float, days: float, mode: DecayMode) -> None:
    assert decayed(aged(importance, days, pinned=True), mode, NOW) == importance


@given(importances, st.floats(8, 4_000), modes, st.floats(0, 7))
def test_what_was_recalled_this_week_is_fresh(importance: float, days: float, mode: DecayMode, accessed: float) -> None:
    assert decayed(aged(importance, days, count=1, accessed=accessed), mode, NOW) == importance


@pytest.mark.parametrize(
    ("mode", "days", "count", "share"),
    [
        (DecayMode.NONE, 1_000, 0, 0.0),
        (DecayMode.LINEAR, 30, 0, 0.3),
        (DecayMode.EXPONENTIAL, 30, 0, 0.5),
        (DecayMode.LOGARITHMIC, 9, 0, 0.5104),
        (DecayMode.ACCESS_BASED, 30, 0, 0.6),
        (DecayMode.ACCESS_BASED, 30, 1, 0.3),
        (DecayMode.ACCESS_BASED, 30, 3, 0.15),
        (DecayMode.LINEAR, 91, 0, 0.8),
    ],
)
def test_each_mode_has_its_curve(mode: DecayMode, days: float, count: int, share: float) -> None:
    assert fading(mode, days, count) == pytest.approx(share, abs=1e-3)
