from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_client.backoff import Reconnect, may_return
from pmcp_common.contracts import closing


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_the_wait_is_a_random_part_of_a_time_that_doubles_up_to_a_bound(attempt: int, part: float) -> None:
    ceiling = min(30.0, 0.5 * 2 ** min(attempt, 40))
    delay = Reconnect().delay(attempt, lambda low, high: low + part * (high - low))
    assert delay == pytest.approx(part * ceiling)


def test_a_gateway_may_name_the_time_of_the_first_attempt() -> None:
    reason = closing.restart_reason(250)
    assert Reconnect().delay(0, lambda low, high: high, reason) == 0.25
    assert Reconnect().delay(1, lambda low, high: high, reason) == 1.0


@pytest.mark.parametrize(
    ("code", "answer"), [(None, True), (1006, True), (1012, True), (4010, True), (4009, True), (4011, False)]
)
def test_close_codes_say_whether_to_come_back(code: int | None, answer: bool) -> None:
    assert may_return(code) is answer
