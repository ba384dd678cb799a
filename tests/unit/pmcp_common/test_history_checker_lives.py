"""The checker on a Redis whose data was lost: a stream may be held in several lives of it, each under its own epoch."""

from __future__ import annotations

from collections.abc import Iterable

from pmcp_common.testing.history_checker import Rule, check
from pmcp_common.testing.history_entries import (
    ClientLeft,
    EndSeen,
    Entry,
    EventHeld,
    FrameSeen,
    RequestAccepted,
    RequestRefused,
    RequestSent,
    RowHeld,
    SectionHeld,
    StreamResumed,
)
from tests.unit.pmcp_common.history_samples import sha256

SECTIONS: list[Entry] = [SectionHeld("rows"), SectionHeld("events"), SectionHeld("calls")]
ACCEPTED: list[Entry] = [RequestSent(1.0, "c", "r", "t", "p", "m"), RequestAccepted(2.0, "c", "r", "s", "reply", "e-1")]
LEFT = ClientLeft(5.0, "c")
ROWS: list[Entry] = [
    RowHeld("t", "p", "talk", 0, "user", "asked", "Hello [[m]]"),
    RowHeld("t", "p", "talk", 1, "assistant", "reply", "xyz"),
]


def rules(*history: Iterable[Entry]) -> list[Rule]:
    return [violation.rule for violation in check([entry for part in (*history, SECTIONS) for entry in part])]


def held(epoch: str, text: str, *, ended: bool = True) -> list[Entry]:
    """One event for each character, in one life of the data."""
    found: list[Entry] = [EventHeld("t", "s", epoch, seq, letter) for seq, letter in enumerate(text, 1)]
    end = EventHeld("t", "s", epoch, len(text) + 1, text, "done", sha256(text))
    return [*found, end] if ended else found


def shown(epoch: str, text: str, *, ended: bool = True) -> list[Entry]:
    found: list[Entry] = [FrameSeen(3.0, "c", "s", epoch, seq, seq, letter) for seq, letter in enumerate(text, 1)]
    end = EndSeen(4.0, "c", "s", epoch, len(text) + 1, "done", "stop", sha256(text), message_id="reply")
    return [*found, end] if ended else found


def told_of_the_loss(position: int) -> list[Entry]:
    return [StreamResumed(3.5, "c", "s", "e-2", position, False, "epoch_changed")]


def test_an_end_in_a_life_that_is_over_is_what_is_left_of_a_reply_nobody_waited_for() -> None:
    """A canned line makes no row, and what told of its end went with the data."""
    assert rules(ACCEPTED, [LEFT]) == [Rule.ACKNOWLEDGED_SURVIVES]
    assert rules(ACCEPTED, [LEFT], held("e-1", "abc")) == []


def test_a_reply_that_was_lost_in_mid_stream_is_not_saved_by_its_pieces() -> None:
    assert rules(ACCEPTED, [LEFT], held("e-1", "ab", ended=False)) == [Rule.ACKNOWLEDGED_SURVIVES]
    both = [*held("e-1", "ab", ended=False), *held("e-2", "x", ended=False)]
    assert rules(ACCEPTED, [LEFT], both) == [Rule.ACKNOWLEDGED_SURVIVES]


def test_a_reply_that_begins_anew_in_the_next_life_is_judged_in_each_by_itself() -> None:
    course = [*shown("e-1", "ab", ended=False), *told_of_the_loss(2), *shown("e-2", "xyz")]
    lives = [*held("e-1", "abc", ended=False), *held("e-2", "xyz")]
    assert rules(ACCEPTED, course, ROWS, lives) == []
    lives = [*held("e-1", "abc", ended=False), *held("e-2", "xy", ended=False)]
    assert rules(ACCEPTED, course, ROWS, lives) == [Rule.ACKNOWLEDGED_SURVIVES], "two of three are held"


def test_what_was_shown_in_a_life_that_is_over_is_held_against_that_life() -> None:
    newest = held("e-2", "xyz")
    watched = [*shown("e-1", "ab", ended=False), LEFT]
    assert rules(ACCEPTED, watched, ROWS, held("e-1", "abc", ended=False), newest) == []
    assert rules(ACCEPTED, watched, ROWS, held("e-1", "aq", ended=False), newest) == [Rule.NO_RETRACTION]
    assert rules(ACCEPTED, watched, ROWS, held("e-1", "a", ended=False), newest) == [Rule.ACKNOWLEDGED_SURVIVES]


def test_events_of_two_lives_need_not_be_recorded_one_life_after_the_other() -> None:
    mixed = [entry for pair in zip(held("e-1", "abc"), held("e-2", "xyz"), strict=True) for entry in pair]
    assert rules(ACCEPTED, [LEFT], mixed) == []


def test_what_a_life_that_is_over_held_of_another_player_is_found() -> None:
    other: list[Entry] = [RequestSent(1.0, "d", "x", "t", "q", "theirs"), RequestRefused(2.0, "d", "x", -32005)]
    foreign: list[Entry] = [EventHeld("t", "s", "e-1", 1, "I know [[theirs]]")]
    assert rules(ACCEPTED, other, [LEFT], ROWS, foreign, held("e-2", "xyz")) == [Rule.NO_FOREIGN_TEXT]


def test_an_end_that_was_changed_in_a_life_that_is_over_is_found() -> None:
    wrong: list[Entry] = [EventHeld("t", "s", "e-1", 2, "a", "done", sha256("b"))]
    assert rules(ACCEPTED, [LEFT], held("e-1", "a", ended=False), wrong, held("e-2", "xyz")) == [Rule.HASH_EQUAL]
