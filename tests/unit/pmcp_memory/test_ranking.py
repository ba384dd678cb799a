"""A score is the sum of its reasons, and words weigh as BM25's idf says."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_memory.ranking import PARTS, reasons, score, word_weight, wording

parts = st.fixed_dictionaries({name: st.floats(0, 1) for name in PARTS})


@given(parts)
def test_reasons_sum_up_to_the_score(values: dict[str, float]) -> None:
    assert math.fsum(reasons(values).values()) == pytest.approx(score(values))


@given(parts)
def test_what_brought_nothing_is_no_reason(values: dict[str, float]) -> None:
    assert all(value != 0 for value in reasons(values).values())
    assert reasons(dict.fromkeys(PARTS, 0.0)) == {}


@given(st.integers(1, 500), st.data())
def test_a_rarer_word_weighs_more_and_none_weighs_nothing(candidates: int, data: st.DataObject) -> None:
    few = data.draw(st.integers(0, candidates))
    many = data.draw(st.integers(few, candidates))
    assert word_weight(candidates, few) >= word_weight(candidates, many) > 0


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 9)), st.floats(0.01, 5)), max_size=12))
def test_wording_is_a_share_that_fades_with_distance(words: list[tuple[int | None, float]]) -> None:
    distances, weights = [distance for distance, _ in words], [weight for _, weight in words]
    share = wording(distances, weights)
    assert 0 <= share <= 1 + 1e-9
    further = [None if distance is None else distance + 1 for distance in distances]
    assert wording(further, weights) <= share


def test_all_words_said_here_are_the_whole_and_four_turns_off_is_nothing() -> None:
    assert wording([0, 0], [1.0, 3.0]) == 1
    assert wording([4, None], [1.0, 3.0]) == 0
    assert wording([1], [2.0]) == pytest.approx(0.7)
