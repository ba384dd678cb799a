"""Kind words are above zero, unkind ones below, and sad ones are neither."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_llm_worker.sentiment import sentiment


@pytest.mark.parametrize(
    "text", ["Thank you so much!", "I love your songs", "You're not stupid", "Don\u2019t be angry"]
)
def test_kind_words_are_above_zero(text: str) -> None:
    assert sentiment(text) > 0


@pytest.mark.parametrize("text", ["Shut up, you liar", "I hate you", "That was not nice at all", "How boring"])
def test_unkind_words_are_below_zero(text: str) -> None:
    assert sentiment(text) < 0


@pytest.mark.parametrize(
    "text", ["", "Where is the harbour?", "My dog died and I am sad", "Où est le port ?", "¿?", "愛"]
)
def test_questions_sorrow_and_other_languages_are_neither(text: str) -> None:
    assert sentiment(text) == 0


def test_unkind_words_aimed_at_the_other_weigh_more() -> None:
    assert sentiment("You are stupid") < sentiment("The weather is stupid") < 0


def test_a_word_that_strengthens_counts() -> None:
    assert sentiment("Very kind") > sentiment("Kind")


@given(st.text(max_size=500))
def test_it_is_always_within_one(text: str) -> None:
    assert -1 <= sentiment(text) <= 1
