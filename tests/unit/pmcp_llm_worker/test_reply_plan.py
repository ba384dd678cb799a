"""What a continue score is worth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_llm_worker.model import Generation
from pmcp_llm_worker.reply_plan import FAREWELLS, bound, farewell, plan_reply


@pytest.mark.parametrize(
    ("score", "routing", "temperature", "words"),
    [
        (100, "full", 0.8, 100),
        (80, "full", 0.8, 100),
        (79.9, "shortened", 0.6, 75),
        (60, "shortened", 0.6, 75),
        (59.9, "constrained", 0.5, 50),
        (40, "constrained", 0.5, 50),
        (39.9, "closing", 0.0, None),
        (None, "full", 0.7, None),
    ],
)
def test_the_bounds_of_the_rule(score: float | None, routing: str, temperature: float, words: int | None) -> None:
    plan = plan_reply(score)
    assert (plan.routing, plan.temperature, plan.max_words) == (routing, temperature, words)


@pytest.mark.parametrize(("score", "leaves"), [(60, False), (58, False), (50, False), (49.9, True), (40, True)])
def test_the_exit_is_prepared_in_the_lower_half_of_the_constrained_range(score: float, leaves: bool) -> None:
    plan = plan_reply(score)
    assert ("leave soon" in plan.guidance) is leaves
    assert ("50 words" in plan.guidance) is (score < 60)


@given(st.floats(40, 100), st.integers(1, 8192), st.integers(1, 8192))
def test_a_reply_never_gets_more_than_any_cap(score: float, setting: int, budget: int) -> None:
    generation = bound(Generation(setting, 4096), plan_reply(score), budget)
    assert 1 <= generation.max_tokens <= min(setting, budget)


def test_the_operators_temperature_sets_the_level() -> None:
    assert bound(Generation(100, 4096, temperature=0.0), plan_reply(90), 100).temperature == 0
    assert bound(Generation(100, 4096, temperature=0.7), plan_reply(90), 100).temperature == 0.8
    assert bound(Generation(100, 4096, temperature=2.0), plan_reply(90), 100).temperature == 2.0


def test_a_farewell_is_the_same_for_the_same_stream() -> None:
    assert farewell("s1") == farewell("s1")
    assert {farewell(f"s{n}") for n in range(50)} == set(FAREWELLS)
