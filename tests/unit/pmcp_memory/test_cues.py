"""What a text carries and what a question asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_memory.cues import LONG_WORDS, Cue, asked_at_last, cues_of, last_question, read_question, without_names


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        ("We met last week", Cue.TIME),
        ("There were three of us", Cue.NUMBER),
        ("I saw Ilse there", Cue.NAME),
        ("Is it far?", Cue.QUESTION),
        ("On Monday I paid 12 crowns to Bram", Cue.TIME | Cue.NUMBER | Cue.NAME),
        ("and I know", Cue(0)),
    ],
)
def test_signs_are_read_off_a_text(text: str, cues: Cue) -> None:
    assert cues_of(text) == cues


@pytest.mark.parametrize(
    ("question", "months", "years"),
    [
        ("What did I do in March 2024?", (3,), (2024,)),
        ("May we march in june?", (5, 6), ()),
        ("may I march?", (), ()),
        ("who won in 1998", (), (1998,)),
    ],
)
def test_months_and_years_are_read_as_written(question: str, months: tuple[int, ...], years: tuple[int, ...]) -> None:
    asked = read_question(question)
    assert (asked.months, asked.years) == (months, years)


@pytest.mark.parametrize(
    ("question", "sides"),
    [
        ("What did I tell you about my sister?", ("player",)),
        ("Do you remember what happened to my dog?", ("player",)),
        ("Who taught you to play?", ("persona",)),
        ("What did you and my brother do?", ("player", "persona")),
        ("What does Jon like?", ()),
    ],
)
def test_whom_a_question_means(question: str, sides: tuple[str, ...]) -> None:
    assert read_question(question).sides == sides


@pytest.mark.parametrize(
    ("question", "cues"),
    [
        ("When was it?", Cue.TIME),
        ("How many goats?", Cue.NUMBER),
        ("Who came?", Cue.NAME),
        ("How long is it?", Cue.TIME | Cue.NUMBER),
        ("Why?", Cue(0)),
    ],
)
def test_what_an_answer_would_carry(question: str, cues: Cue) -> None:
    assert read_question(question).cues == cues


def test_the_last_question_of_a_text() -> None:
    assert last_question("Hello! How are you? Fine. And your dog? Good.") == "And your dog?"
    assert last_question("Nothing.") == ""


def test_names_leave_a_question_unless_nothing_else_is_left() -> None:
    assert without_names("What does Jon's dog eat, captain?", ["Jon", "Captain Marlow"]) == "What does dog eat, ?"
    assert without_names("Jon?", ["Jon"]) == "Jon?"
    assert without_names("What is new?", []) == "What is new?"


@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    assert isinstance(cues_of(text), Cue)
    assert last_question(text) == "" or last_question(text).endswith("?")
    assert set(read_question(text).months) <= set(range(1, 13))
    assert without_names(text, ["Jon", "a b"]) != "" or text == ""


TALK = " ".join(["It rained all day and the goats were in the kitchen again."] * 10)


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        ("What is my name?", "What is my name?"),
        (f"{TALK} What did I tell you about the house that my sister bought in Merrow?", None),
        (
            f"{TALK} Ilse came over with her new dog. What was it called again?",
            "Ilse came over with her new dog. What was it called again?",
        ),
        (f"{TALK} \u201cWhat did I tell you about the house that my sister bought then?\u201d", None),
        (f"{TALK} He sings. What did I tell you about my sister?", "What did I tell you about my sister?"),
        (f"{TALK} My brother has come to town with his wife. What do you think?", None),
        (TALK, TALK),
        (f"Is that so? {TALK}", f"Is that so? {TALK}"),
        ("word " * 100 + "?", "word " * 100 + "?"),
    ],
)
def test_of_a_long_message_its_end_asks(message: str, asked: str | None) -> None:
    assert asked_at_last(message) == (message.removeprefix(TALK).strip() if asked is None else asked)


@given(st.text(max_size=600))
def test_what_is_asked_is_never_empty_unless_the_message_is(message: str) -> None:
    assert asked_at_last(message).strip() or not message.strip()
    assert len(message.split()) > LONG_WORDS or asked_at_last(message) == message
