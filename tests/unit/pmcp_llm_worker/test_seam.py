"""A continued reply reads as one text: what the model says again is left out, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_llm_worker.seam import MIN_OVERLAP_CHARS, Seam, trim_seam

TEXT = st.text(alphabet="abcde \n", max_size=60)


@pytest.mark.parametrize(
    ("said", "more", "joined"),
    [
        ("The old", " man sang.", "The old man sang."),
        ("hel", "lo", "hello"),
        ("The old man sang of the sea", "man sang of the sea and of ships", "The old man sang of the sea and of ships"),
        ("Once upon", "Once upon a time", "Once upon a time"),
        ("Once upon", " Once upon a time", "Once upon a time"),
        ("Hello", "Hello w1 w2", "Hello w1 w2"),
        ("Once ", " upon", "Once upon"),
        ("no, no", ", no", "no, no, no"),
        ("It is done.", "", "It is done."),
        ("It is done.", "It is done.", "It is done."),
    ],
)
def test_known_seams(said: str, more: str, joined: str) -> None:
    assert said + trim_seam(said, more) == joined


@given(TEXT, TEXT)
def test_only_a_beginning_is_ever_left_out(said: str, text: str) -> None:
    assert text.endswith(trim_seam(said, text))


@given(TEXT, TEXT, st.integers(min_value=MIN_OVERLAP_CHARS, max_value=60))
def test_a_repeated_end_is_left_out_as_a_whole(said: str, more: str, length: int) -> None:
    repeated = said[-length:]
    if len(repeated) < MIN_OVERLAP_CHARS:
        return
    trimmed = trim_seam(said, repeated + more)
    assert len(trimmed) <= len(more)
    assert more.endswith(trimmed)


@given(st.text(alphabet="abc ", min_size=2, max_size=60), st.text(alphabet="xyz", max_size=30))
def test_a_reply_begun_anew_goes_on_where_it_was(said: str, more: str) -> None:
    assert trim_seam(said, said + more) == (more.lstrip() if said[-1].isspace() else more)


@given(st.text(alphabet="abc ", max_size=60), st.text(alphabet="xyz", max_size=60))
def test_a_text_that_repeats_nothing_is_not_touched(said: str, more: str) -> None:
    assert trim_seam(said, more) == more


@given(TEXT, TEXT, st.lists(st.integers(min_value=1, max_value=9), max_size=60))
def test_the_pieces_make_no_difference(said: str, text: str, sizes: list[int]) -> None:
    if not said:
        return
    seam, shown, rest = Seam(said), "", text
    for size in [*sizes, len(rest)]:
        piece, rest = rest[:size], rest[size:]
        shown += seam.feed(piece)
    shown += seam.end()
    assert shown == trim_seam(said, text)


def test_nothing_is_held_back_when_nothing_was_said() -> None:
    assert Seam("").feed("Hello") == "Hello"


def test_what_cannot_be_a_repetition_is_shown_at_once() -> None:
    seam = Seam("The old man")
    assert seam.feed(" sang") == " sang"
    assert seam.feed(" the") == " the"
