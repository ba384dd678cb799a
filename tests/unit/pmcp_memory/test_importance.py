"""What is worth remembering, and how much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_common.contracts.memories import Role
from pmcp_memory.importance import importance, judge, valence


@given(st.text(min_size=1, max_size=500))
def test_importance_and_valence_stay_in_their_ranges(text: str) -> None:
    assert 0.1 <= importance(text) <= 1
    assert -1 <= valence(text) <= 1


@pytest.mark.parametrize("text", ["Hello!", "hi", "Good morning", "ok thanks", "How are you?", "...", "👋"])
def test_a_greeting_or_filler_is_the_least_important(text: str) -> None:
    assert importance(text) == 0.1


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ("My brother's name is Tom and he was born in Merrow", "The road to Merrow is dry"),
        ("I am so happy, I love this song!", "This is a song"),
        ("Promise me you will never forget my birthday", "The kettle is on the stove"),
        ("The road is dry and the sky is grey and the inn is far", "The road is dry"),
    ],
)
def test_facts_of_a_life_feeling_and_effort_weigh_more(more: str, less: str) -> None:
    assert importance(more) > importance(less) > 0.1


def test_a_typographic_apostrophe_is_an_apostrophe() -> None:
    assert importance("I\u2019m called Tom") == importance("I'm called Tom")


@pytest.mark.parametrize(
    ("text", "expected"), [("I love you", 1.0), ("I hate rain", -1.0), ("love and hate", 0.0), ("a table", 0.0)]
)
def test_valence_weighs_glad_against_sad(text: str, expected: float) -> None:
    assert valence(text) == expected


@pytest.mark.parametrize(("length", "fixed"), [(50, False), (51, True)])
def test_a_reply_longer_than_fifty_characters_has_a_fixed_importance(length: int, fixed: bool) -> None:
    judgement = judge(Role.ASSISTANT, "x" * length)
    assert judgement is not None
    assert (judgement.importance == 0.6) is fixed


@pytest.mark.parametrize("reply", ["Aye.", "Good evening!", "Yes, please."])
def test_a_reply_of_filler_is_nothing_to_remember(reply: str) -> None:
    assert judge(Role.ASSISTANT, reply) is None


def test_every_message_of_a_player_is_remembered_as_input() -> None:
    judgement = judge(Role.USER, "hi")
    assert judgement is not None
    assert judgement.memory_type == "user_input"


@pytest.mark.parametrize("text", ["My brother died in the war, I will never forget it!", "hi"])
def test_what_a_persona_heard_from_another_matters_four_fifths(text: str) -> None:
    said, heard = judge(Role.USER, text), judge(Role.USER, text, from_persona=True)
    assert said is not None
    assert heard is not None
    assert heard.importance == pytest.approx(max(0.1, 0.8 * said.importance), abs=0.001)
