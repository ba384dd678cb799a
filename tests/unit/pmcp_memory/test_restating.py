"""When two texts are one memory, and when they only sound alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_memory.restating import says_the_same, wording_key


def test_case_and_punctuation_do_not_make_another_memory() -> None:
    assert wording_key("My dog is called Rex!") == wording_key("my dog,  is called rex")
    assert wording_key("I don\u2019t know") == wording_key("I don't know")
    assert wording_key("I like tea") != wording_key("I like coffee")
    assert wording_key("👋") != wording_key("🐕")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I am 31 years old", "I am 32 years old"),
        ("I live with Tom now", "I live with Ilse now"),
        ("I like the sea", "I don't like the sea"),
        ("we are two", "we are three"),
    ],
)
def test_another_number_name_or_not_is_another_fact(one: str, other: str) -> None:
    assert not says_the_same(one, other, 0.999)


def test_a_paraphrase_is_the_same_when_it_is_near_enough() -> None:
    assert says_the_same("I like the sea", "the sea is what I like", 0.96)
    assert not says_the_same("I like the sea", "the sea is what I like", 0.94)


@given(st.text(max_size=200))
def test_every_text_says_what_it_says(text: str) -> None:
    assert says_the_same(text, text, 1.0)
    assert wording_key(text) == wording_key(text)
