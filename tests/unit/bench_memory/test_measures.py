"""The figures are what their definitions say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.memory.measures import (
    Measured,
    Outcome,
    category_table,
    dialogue_line,
    interval_line,
    mean,
    measure,
    overall_table,
)

SESSIONS = {f"t{number}": number // 10 for number in range(100)}


def test_a_ranking_is_measured_by_hand() -> None:
    ranking = ["t1", "t55", "t2", "t3", "t4", "t5", "t77"]
    measured = measure(ranking, {"t55", "t77", "t99"}, SESSIONS)
    assert measured.recall_5 == pytest.approx(1 / 3)
    assert measured.recall_10 == measured.recall_20 == pytest.approx(2 / 3)
    assert (measured.hit_10, measured.mrr) == (1.0, 0.5)
    gain = 1 / math.log2(3) + 1 / math.log2(8)
    assert measured.ndcg_10 == pytest.approx(gain / (1 + 1 / math.log2(3) + 0.5))
    assert (measured.session_of_5_turns, measured.session_of_5_sessions) == (1.0, 1.0)


def test_evidence_that_is_not_found_counts_nothing() -> None:
    assert measure([], {"t1"}, SESSIONS) == Measured(0, 0, 0, 0, 0, 0, 0, 0)


def test_a_session_counts_among_the_first_five_sessions_though_not_in_the_first_turns() -> None:
    measured = measure(["t1", "t2", "t3", "t4", "t5", "t50"], {"t51"}, SESSIONS)
    assert (measured.session_of_5_turns, measured.session_of_5_sessions) == (0.0, 1.0)


@given(st.permutations(list(SESSIONS)), st.sets(st.sampled_from(sorted(SESSIONS)), min_size=1, max_size=6))
def test_all_figures_are_shares_and_more_places_find_no_less(ranking: list[str], evidence: set[str]) -> None:
    measured = measure(ranking, evidence, SESSIONS)
    assert 0 <= measured.recall_5 <= measured.recall_10 <= measured.recall_20 <= 1
    assert 0 < measured.mrr <= 1
    assert 0 <= measured.ndcg_10 <= 1 + 1e-9
    assert measured.hit_10 >= measured.recall_10


def test_tables_keep_adversarial_questions_apart() -> None:
    good, bad = Measured(*[1.0] * 8), Measured(*[0.0] * 8)
    outcomes = [Outcome("one", 4, good), Outcome("two", 1, good), Outcome("one", 5, bad)]
    assert "| ours | 1.000 | 1.000" in overall_table({"ours": outcomes})
    assert "| adversarial | 1 | 0.000" in category_table(outcomes)
    assert dialogue_line(outcomes) == "R@10 by dialogue: one 1.000, two 1.000"
    assert mean(outcomes).recall_5 == pytest.approx(2 / 3)


def test_the_interval_of_a_mean_is_narrower_with_more_questions() -> None:
    good, bad = (Outcome("one", 4, Measured(*[value] * 8)) for value in (1.0, 0.0))
    assert interval_line([good, bad] * 50) == "95 % interval of R@10: ± 0.098"
    assert interval_line([good, bad] * 5000) == "95 % interval of R@10: ± 0.010"
    assert interval_line([good] * 9) == "95 % interval of R@10: ± 0.000"
