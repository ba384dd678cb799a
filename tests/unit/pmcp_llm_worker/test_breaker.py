"""A model that fails again and again is not waited for, and is tried again by one call at a time."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pmcp_llm_worker.breaker import (
    FAILURES,
    MAX_OPEN_SECONDS,
    OPEN_SECONDS,
    PROBE_SECONDS,
    TRANSITIONS,
    Breaker,
    BreakerEvent,
    BreakerState,
)
from tests.unit.pmcp_llm_worker.doubles import SteppingClock


def opened() -> tuple[Breaker, SteppingClock]:
    clock = SteppingClock()
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        breaker.failed(begun(breaker))
    return breaker, clock


def begun(breaker: Breaker) -> int:
    call = breaker.begin()
    assert call is not None
    return call


def state_of(breaker: Breaker) -> BreakerState:
    return breaker.state


def test_it_opens_after_failures_in_a_row_and_not_before() -> None:
    breaker = Breaker(SteppingClock())
    for _ in range(FAILURES - 1):
        breaker.failed(begun(breaker))
    breaker.succeeded()
    for _ in range(FAILURES - 1):
        breaker.failed(begun(breaker))
    assert state_of(breaker) is BreakerState.CLOSED
    breaker.failed(begun(breaker))
    assert state_of(breaker) is BreakerState.OPEN
    assert breaker.begin() is None


def test_after_a_while_one_call_probes_and_its_success_closes_it() -> None:
    breaker, clock = opened()
    clock.seconds += OPEN_SECONDS
    assert [breaker.begin() is not None for _ in range(3)] == [True, False, False]
    assert state_of(breaker) is BreakerState.HALF_OPEN
    breaker.succeeded()
    assert state_of(breaker) is BreakerState.CLOSED
    assert all(breaker.begin() for _ in range(3))


def test_a_probe_that_fails_opens_it_for_longer() -> None:
    breaker, clock = opened()
    clock.seconds += OPEN_SECONDS
    breaker.failed(begun(breaker))
    clock.seconds += OPEN_SECONDS
    assert breaker.begin() is None
    clock.seconds += OPEN_SECONDS
    assert begun(breaker)


def test_the_pause_is_bounded() -> None:
    breaker, clock = opened()
    for _ in range(20):
        clock.seconds += MAX_OPEN_SECONDS
        breaker.failed(begun(breaker))


def test_a_probe_that_was_given_up_or_never_came_back_leaves_room_for_another() -> None:
    breaker, clock = opened()
    clock.seconds += OPEN_SECONDS
    breaker.abandoned(begun(breaker))
    assert begun(breaker)
    clock.seconds += PROBE_SECONDS
    assert begun(breaker)


def test_an_older_call_that_is_given_up_or_fails_does_not_speak_for_the_probe() -> None:
    clock = SteppingClock()
    breaker = Breaker(clock)
    older = begun(breaker)
    for _ in range(FAILURES):
        breaker.failed(begun(breaker))
    clock.seconds += OPEN_SECONDS
    probe = begun(breaker)
    breaker.abandoned(older)
    assert breaker.begin() is None
    breaker.failed(older)
    assert state_of(breaker) is BreakerState.HALF_OPEN
    breaker.failed(probe)
    assert state_of(breaker) is BreakerState.OPEN


def test_a_late_success_of_an_earlier_call_closes_it() -> None:
    breaker, _ = opened()
    breaker.succeeded()
    assert begun(breaker)


STEPS = st.one_of(st.sampled_from(["ask", "succeeded", "failed", "abandoned"]), st.floats(0, 100))


@given(st.lists(STEPS, max_size=60))
def test_whatever_happens_it_follows_its_table(steps: list[str | float]) -> None:
    clock, seen = SteppingClock(), [BreakerState.CLOSED]
    breaker = Breaker(clock, seen.append)
    calls = [0]
    for step in steps:
        if isinstance(step, float):
            clock.seconds += step
        elif step == "ask":
            call = breaker.begin()
            if call is None:
                assert breaker.state is not BreakerState.CLOSED
            else:
                calls.append(call)
        elif step == "succeeded":
            breaker.succeeded()
        else:
            getattr(breaker, step)(calls[-1])
    legal = {(before, after) for (before, _), after in TRANSITIONS.items() if before is not after}
    assert set(pairwise(seen)) <= legal
    clock.seconds += MAX_OPEN_SECONDS + PROBE_SECONDS
    assert breaker.begin(), "it never stays shut for ever"


def test_the_table_has_every_state_and_event() -> None:
    assert {state for state, _ in TRANSITIONS} == set(BreakerState)
    assert {event for _, event in TRANSITIONS} == set(BreakerEvent)
