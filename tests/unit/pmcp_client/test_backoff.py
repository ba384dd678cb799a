from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_client.backoff import Attempts, Reconnect, later, may_return, needs_new_session
from pmcp_common.contracts import closing


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_the_wait_is_a_random_part_of_a_time_that_doubles_up_to_a_bound(attempt: int, part: float) -> None:
    ceiling = min(30.0, 0.5 * 2 ** min(attempt, 40))
    delay = Reconnect().delay(attempt, lambda low, high: low + part * (high - low))
    assert delay == pytest.approx(part * ceiling)


def test_a_gateway_may_name_the_time_within_the_longest() -> None:
    reason = closing.restart_reason(250)
    assert Reconnect().delay(0, lambda low, high: high, reason) == 0.25
    assert Reconnect(longest_seconds=0.1).delay(0, lambda low, high: high, reason) == 0.1
    assert Reconnect().delay(0, lambda low, high: low, closing.rate_reason(5)) == 5.0


def most(_low: float, high: float) -> float:
    return high


def test_connections_that_are_accepted_and_die_at_once_are_followed_by_ever_longer_pauses() -> None:
    attempts = Attempts(Reconnect(0.5, 4.0))
    pauses = []
    for _ in range(5):
        attempts.lost(lived_seconds=0.01)
        pauses.append(attempts.delay(most))
    assert pauses == [0.5, 1.0, 2.0, 4.0, 4.0]


def test_a_connection_that_lived_longer_than_its_pause_begins_the_count_anew() -> None:
    attempts = Attempts(Reconnect(0.5, 30.0))
    assert [attempts.delay(most) for _ in range(3)] == [0.5, 1.0, 2.0]
    attempts.lost(lived_seconds=4.5)
    assert attempts.delay(most) == 0.5


def test_the_time_a_gateway_names_counts_for_the_attempt_it_was_named_for() -> None:
    attempts = Attempts(Reconnect(0.5, 30.0))
    assert attempts.delay(most, closing.restart_reason(250)) == 0.25
    assert attempts.delay(most) == 1.0


@pytest.mark.parametrize(
    ("code", "answer"),
    [(None, True), (1006, True), (1012, True), (4008, True), (4010, True), (4009, True), (4001, True), (4011, False)],
)
def test_close_codes_say_whether_to_come_back(code: int | None, answer: bool) -> None:
    assert may_return(code) is answer


@pytest.mark.parametrize(
    ("code", "answer"), [(None, False), (1012, False), (4001, True), (4008, False), (4009, True), (4010, False)]
)
def test_close_codes_say_whether_the_session_is_gone(code: int | None, answer: bool) -> None:
    assert needs_new_session(code) is answer


def test_a_request_comes_again_no_sooner_than_asked_and_not_with_all_others() -> None:
    assert (later(2.0, lambda low, _high: low), later(2.0, most)) == (2.0, 3.0)
