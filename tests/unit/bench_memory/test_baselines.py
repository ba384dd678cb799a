"""The baselines that are ours to compute are computed as their authors wrote them."""

from __future__ import annotations

import pytest

from bench.memory.baselines import Bm25, fuse
from bench.memory.latency import percentile


def test_bm25_prefers_the_rare_word_and_the_short_text() -> None:
    texts = [["dog", "park"], ["dog", "park", "tree", "lake", "hill"], ["cat"], ["dog", "whale"]]
    scores = Bm25(texts).scores(["dog", "whale"])
    assert scores.argmax() == 3
    assert scores[0] > scores[1] > scores[2] == 0


def test_fusion_adds_reciprocal_ranks() -> None:
    assert fuse([["a", "b"], ["b", "c"]]) == ["b", "a", "c"]


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.95, 4), (0.01, 1)])
def test_percentiles_are_values_that_occurred(share: float, value: float) -> None:
    assert percentile([4, 1, 3, 2], share) == value
