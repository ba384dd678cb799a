"""When two texts are the same words, and which words are not merged however often they are said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_memory.restating import may_be_merged, wording_key


def test_case_and_punctuation_do_not_make_another_memory() -> None:
    assert wording_key("My dog is called Rex!") == wording_key("my dog,  is called rex")
    assert wording_key("I don\u2019t know") == wording_key("I don't know")
    assert wording_key("I like tea") != wording_key("I like coffee")
    assert wording_key("\U0001f44b") != wording_key("\U0001f415")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I like tea.", "I like tea?"),
        ("it is 5 degrees", "it is -5 degrees"),
        ("I paid 5.1", "I paid 5 1"),
        ("\u0e40\u0e2a\u0e37\u0e2d", "\u0e40\u0e2a\u0e35\u0e2d"),
    ],
)
def test_a_sign_that_means_something_makes_other_words(one: str, other: str) -> None:
    assert wording_key(one) != wording_key(other)


@pytest.mark.parametrize(
    ("text", "lead_in"),
    [
        ("I won the race today", ""),
        ("I won the race", "What did you do yesterday?"),
        ("\u0421\u0435\u0433\u043e\u0434\u043d\u044f \u044f \u0432\u044b\u0438\u0433\u0440\u0430\u043b", ""),
    ],
)
def test_what_tells_a_time_or_may_tell_one_is_not_merged(text: str, lead_in: str) -> None:
    assert not may_be_merged(text, lead_in)
    assert may_be_merged("I don\u2019t like tea", "Do you like tea?")


@given(st.text(max_size=200))
def test_every_text_says_what_it_says(text: str) -> None:
    assert wording_key(text) == wording_key(f" {text}  ") or not text.strip()
