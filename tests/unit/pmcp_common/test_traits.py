"""Traits of every kind of client come out as levels 0..1 or as words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_common.contracts.traits import levels, words

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        ({"openness": 0.8, "neuroticism": 0.1}, {"openness": 0.8, "neuroticism": 0.1}),
        ({"friendliness": 7, "humor": 5}, {"friendliness": 0.7, "humor": 0.5}),
        ({"warm": 90, "shy": 5}, {"warm": 0.9, "shy": 0.05}),
        ({"warm": "high", "shy": "Very Low"}, {"warm": 0.75, "shy": 0.1}),
        ({"warm": "0.4"}, {"warm": 0.4}),
        ({"brave": True, "cruel": False}, {"brave": 0.75, "cruel": 0.0}),
        ({"temper": "hot-blooded", "list": [1]}, {}),
        ({"odd": -3}, {"odd": 0.0}),
    ],
)
def test_each_scale_is_read_as_its_client_meant_it(traits: dict[str, Any], expected: dict[str, float]) -> None:
    assert levels(traits) == pytest.approx(expected)


def test_words_are_what_says_no_level() -> None:
    assert words({"temper": " hot-blooded ", "warm": "high", "age": "40", "kind": 3}) == {"temper": "hot-blooded"}


@given(st.dictionaries(st.text(max_size=10), JSON, max_size=8))
def test_whatever_a_client_sends_levels_are_shares(traits: dict[str, Any]) -> None:
    assert all(0 <= level <= 1 for level in levels(traits).values())
    assert all(isinstance(text, str) and text for text in words(traits).values())
