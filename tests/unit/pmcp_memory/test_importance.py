"""What is worth remembering, and how much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_common.contracts.memories import Role, Standing
from pmcp_memory.importance import LEAST, LISTENING_SHARE, Ties, importance, interest, judge, valence

JUNK = (
    "asdf",
    "hjkl",
    "qweqwe asdasd",
    "aaaaaa",
    "hahahaha",
    "lol lol lol",
    "!!!",
    "k",
    "brb",
    "Hm, I see.",
    "I see, I see, Aria.",
    "Hi Aria, how are you?",
    "hey aria",
    "Good evening, Aria!",
    "good morning my friend",
    "Thanks, Aria.",
    "bye Kira",
    "How are you doing today?",
    "What's up?",
    "I am fine, thanks, and you?",
    "Nice to meet you",
    "It's nice to see you again, Aria.",
    "Let me think",
    "Well... I guess so.",
    "Sounds good!",
    "That's great to hear!",
    "No problem",
    "See you tomorrow",
    "Take care!",
    "You're welcome",
    "Tell me more",
    "What do you mean?",
    "Wow, that is so cool!",
    "Alright, let's continue",
    "dragons!",
    "Merrow",
)
SMALL_FACTS = (
    "I like tea",
    "I hate rain",
    "My name is Tom",
    "Hi, I'm Tom",
    "Hello Aria, I am a knight",
    "Call me Max",
    "I am 34",
    "I'm vegan",
    "I am tired",
    "I live in Merrow",
    "I'm from Ireland",
    "My sister's called Mia",
    "My dog is Rex",
    "I have two cats",
    "I work as a baker",
    "I play the lute",
    "I bought a horse",
    "I lost my sword",
    "I broke my leg",
    "I got married",
    "She left me",
    "My mum died",
    "We won",
    "Tom is here",
    "The kettle is on the stove",
    "I don't eat meat",
    "I killed the dragon",
    "It's my birthday",
    "I need a doctor",
    "They robbed us",
    "\u042f \u0436\u0438\u0432\u0443 \u0432 \u041c\u043e\u0441\u043a\u0432\u0435",
    "\u6211\u559c\u6b22\u8336",
)


@given(st.text(min_size=1, max_size=500))
def test_importance_and_valence_stay_in_their_ranges(text: str) -> None:
    assert 0.1 <= importance(text) <= 1
    assert -1 <= valence(text) <= 1


@pytest.mark.parametrize("text", ["Hello!", "hi", "Good morning", "ok thanks", "How are you?", "...", "👋"])
def test_a_greeting_or_filler_is_the_least_important(text: str) -> None:
    assert importance(text) == 0.1


@pytest.mark.parametrize("text", JUNK)
def test_junk_matters_clearly_less_than_any_small_fact(text: str) -> None:
    assert importance(text) <= 0.2 < 0.35 <= min(importance(fact) for fact in SMALL_FACTS)


@pytest.mark.parametrize("text", SMALL_FACTS)
def test_a_small_fact_is_remembered_wherever_it_is_said(text: str) -> None:
    judgement = judge(Role.USER, text)
    assert judgement is not None
    assert judgement.importance >= 0.35


@pytest.mark.parametrize("answer", ["Yes!", "Never.", "Merrow."])
def test_an_answer_says_what_its_question_asks(answer: str) -> None:
    assert importance(answer, "Do you come from Merrow?") >= 0.35
    assert importance(answer, "How are you?") <= 0.2


@pytest.mark.parametrize("text", ["Hm, I see.", "hi", "asdf"])
def test_what_says_nothing_answers_nothing(text: str) -> None:
    assert importance(text, "Do you come from Merrow?") == LEAST


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I play music every night", 0.9),
        ("Musical evenings bore me", 0.9),
        ("The gossip about old magic", 0.4),
        ("I saw an ancient ruin", 0.7),
        ("A ruin, ancient as the hills", 0.7),
        ("The art of war", 0.3),
        ("My heart hurts", 0.0),
        ("I like tea", 0.0),
    ],
)
def test_interest_is_that_in_the_dearest_topic_the_words_name(text: str, expected: float) -> None:
    topics = {"music": 90, "gossip": 40, "ancient_ruins": 70, "art": 30, "": 100}
    assert interest(text, topics) == expected


def test_interest_and_relationship_count_as_the_rule_says() -> None:
    plain = importance("I play the lute")
    assert importance("I play the lute", ties=Ties(speaker_interest=1)) == pytest.approx(plain + 0.10)
    assert importance("I play the lute", ties=Ties(listener_interest=1)) == pytest.approx(plain + 0.05)
    assert importance("I play the lute", ties=Ties(relationship=1)) == pytest.approx(plain + 0.10)
    assert importance("hi", ties=Ties(1, 1, 1)) == LEAST


@pytest.mark.parametrize(
    ("role", "standing", "more"),
    [
        (Role.USER, Standing(topic_preferences={"lute": 80}), 0.04),
        (Role.ASSISTANT, Standing(topic_preferences={"lute": 80}), 0.08),
        (Role.USER, Standing(partner_topic_preferences={"lute": 80}), 0.08),
        (Role.USER, Standing(relationship_strength=0.5), 0.05),
        (Role.USER, Standing(relationship_strength=-0.5), 0.05),
        (Role.USER, Standing(topic_preferences={"magic": 80}), 0.0),
    ],
)
def test_a_persona_listens_to_the_other_side_and_speaks_its_replies(
    role: Role, standing: Standing, more: float
) -> None:
    told, known = judge(role, "I play the lute"), judge(role, "I play the lute", standing=standing)
    assert told is not None
    assert known is not None
    assert known.importance == pytest.approx(told.importance + more)


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
    judgement = judge(Role.ASSISTANT, "a ruin".ljust(length, "s"))
    assert judgement is not None
    assert (judgement.importance == 0.6) is fixed


@pytest.mark.parametrize("reply", ["Aye.", "Good evening!", "Yes, please."])
def test_a_reply_of_filler_is_nothing_to_remember(reply: str) -> None:
    assert judge(Role.ASSISTANT, reply) is None


@pytest.mark.parametrize("text", ["hi", "Hi Aria, how are you?", "asdf", "...", "lol"])
def test_filler_of_a_player_is_kept_only_where_it_answers_or_opens_a_sitting(text: str) -> None:
    assert judge(Role.USER, text) is None
    for kept in (judge(Role.USER, text, opens_sitting=True), judge(Role.USER, text, lead_in="How are you?")):
        assert kept is not None
        assert (kept.memory_type, kept.importance) == ("user_input", LEAST)


@pytest.mark.parametrize("text", ["My brother died in the war, I will never forget it!", "I see"])
def test_what_a_persona_heard_from_another_matters_four_fifths(text: str) -> None:
    said, heard = judge(Role.USER, text), judge(Role.USER, text, from_persona=True)
    assert said is not None
    assert heard is not None
    assert heard.importance == pytest.approx(max(LEAST, LISTENING_SHARE * said.importance), abs=0.001)
