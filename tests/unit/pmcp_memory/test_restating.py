"""When two texts are the same words, and which words are not merged however often they are said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_memory.restating import may_be_merged, older_wording_key, wording_key


def test_case_and_punctuation_do_not_make_another_memory() -> None:
    assert wording_key("My dog is called Rex!") == wording_key("my dog,  is called rex")
    assert wording_key("I don\u2019t know") == wording_key("I don't know")
    assert wording_key("I like tea") != wording_key("I like coffee")
    assert wording_key("\U0001f44b") != wording_key("\U0001f415")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("My sister's called Mia", "my sister is called Mia!"),
        ("My sister\u2019s a doctor", "My sister is the doctor"),
        ("I don't like it", "I do not like it"),
        ("dont you like it?!", "Don't you like it?"),
        ("I can't swim", "I cannot swim"),
        ("I won't go", "I will not go"),
        ("We're lost, they've left and she'll stay", "we are lost they have left and she will stay"),
        ("It's cold", "it is cold"),
        ("I'm a knight", "I am the knight"),
        ("Well, I like tea.", "I like tea"),
        ("Um, I actually like tea, you know.", "I like tea"),
        ("Hi, my sister is called Mia", "My sister is called Mia"),
        ("He said \u201cno\u201d\u2026", 'he said "no"'),
        ("My brother - the smith - left", "my brother the smith left"),
        ("A dragon came", "The dragon came"),
    ],
)
def test_contractions_articles_and_fillers_do_not_make_another_memory(one: str, other: str) -> None:
    assert wording_key(one) == wording_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I do not like it", "I like it"),
        ("I don't like it", "I like it"),
        ("I can't swim", "I can swim"),
        ("I won't go", "I will go"),
        ("I never lie", "I lie"),
        ("No, I like tea", "I like tea"),
        ("I have a few friends", "I have few friends"),
        ("I want plan A", "I want plan"),
        ("Tom's brother", "Tom is the brother"),
        ("I'd go", "I would go"),
        ("I sleep well", "I sleep"),
        ("I really like it", "I like it"),
        ("I like her", "I like him"),
    ],
)
def test_a_word_that_means_something_makes_other_words(one: str, other: str) -> None:
    assert wording_key(one) != wording_key(other)


@pytest.mark.parametrize("text", ["Um.", "Oh!", "actually", "a", "the"])
def test_a_text_of_filler_alone_is_itself(text: str) -> None:
    assert wording_key(text) == wording_key(text.lower())
    assert wording_key(text) != wording_key("hm, well")


def test_a_text_without_short_forms_has_the_key_it_always_had() -> None:
    assert wording_key("My dog is called Rex!") == older_wording_key("my dog is called rex")


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
