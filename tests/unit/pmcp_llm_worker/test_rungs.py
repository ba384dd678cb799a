"""The time a client gives decides how much is said: all, less, or a canned line; never too late."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_llm_worker.rungs import MIN_TOKENS, PACE_SECONDS, RESERVE_SECONDS, Pace, Rung, plan_time
from tests.unit.pmcp_llm_worker.doubles import SteppingClock

SECONDS = st.floats(min_value=-10, max_value=1000, allow_nan=False)


def measured(first_seconds: float = 0.5, seconds_per_token: float = 0.02) -> Pace:
    pace = Pace(SteppingClock())
    pace.note(first_seconds, first_seconds + 100 * seconds_per_token, 100)
    return pace


def test_without_a_deadline_everything_is_said() -> None:
    plan = plan_time(None, 300, measured())
    assert (plan.rung, plan.max_tokens, plan.seconds) == (Rung.FULL, 300, None)


@pytest.mark.parametrize(
    ("left", "rung"),
    [(10.0, Rung.FULL), (2.0, Rung.SHORTENED), (0.7, Rung.CANNED), (0.1, Rung.CANNED), (-1.0, Rung.CANNED)],
)
def test_the_rungs_by_the_measured_pace(left: float, rung: Rung) -> None:
    assert plan_time(left, 100, measured()).rung is rung


def test_an_unknown_pace_is_tried_and_stopped_in_time() -> None:
    plan = plan_time(1.0, 300, Pace(SteppingClock()))
    assert (plan.rung, plan.max_tokens) == (Rung.FULL, 300)
    assert plan.seconds == pytest.approx(1.0 - RESERVE_SECONDS)


def test_an_old_measurement_is_forgotten() -> None:
    clock = SteppingClock()
    pace = Pace(clock)
    pace.note(10.0, 100.0, 100)
    assert plan_time(2.0, 100, pace).rung is Rung.CANNED
    clock.seconds += PACE_SECONDS
    assert plan_time(2.0, 100, pace).rung is Rung.FULL


def test_a_reply_of_a_few_tokens_says_nothing_about_the_pace() -> None:
    pace = Pace(SteppingClock())
    pace.note(0.1, 5.0, MIN_TOKENS - 1)
    assert not pace.known


@given(SECONDS, st.integers(1, 8192), st.floats(0, 60), st.floats(0.0001, 5), st.booleans())
def test_a_plan_never_exceeds_what_was_asked_for_nor_the_time(
    left: float, wanted: int, first: float, each: float, known: bool
) -> None:
    pace = measured(first, each) if known else Pace(SteppingClock())
    plan = plan_time(left, wanted, pace)
    assert 0 <= plan.max_tokens <= wanted
    assert plan.seconds is not None
    assert plan.seconds <= max(0.0, left)
    assert (plan.max_tokens == wanted) is (plan.rung is Rung.FULL)
    assert (plan.max_tokens == 0) is (plan.rung is Rung.CANNED)
    if plan.rung is Rung.SHORTENED:
        assert first + plan.max_tokens * each <= left + 1e-6


@given(SECONDS, SECONDS, st.integers(1, 1000))
def test_more_time_never_means_less_said(one: float, other: float, wanted: int) -> None:
    pace = measured()
    less, more = sorted((one, other))
    assert plan_time(less, wanted, pace).max_tokens <= plan_time(more, wanted, pace).max_tokens
