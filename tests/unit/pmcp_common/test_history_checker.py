"""The checker: clean histories are clean, each planted fault is found, the figure is what the count allows."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pmcp_common.testing.history_checker import Report, Rule, check, examine
from pmcp_common.testing.history_entries import (
    ClientLeft,
    EndSeen,
    Entry,
    EventHeld,
    FaultDone,
    FrameSeen,
    ModelCall,
    RequestAccepted,
    RequestRefused,
    RequestSent,
    RowHeld,
    SectionHeld,
    StreamResumed,
)
from tests.unit.pmcp_common.history_mutations import MUTATIONS, Mutation
from tests.unit.pmcp_common.history_samples import sample, sha256

SEEDS = st.integers(min_value=0, max_value=2**32)
SECTIONS = [SectionHeld("rows"), SectionHeld("events"), SectionHeld("calls")]


def rules(history: Iterable[Entry]) -> set[Rule]:
    return {violation.rule for violation in check(history)}


def sent(client: str = "c", request: str = "r", marker: str = "m", **more: object) -> RequestSent:
    return replace(RequestSent(1.0, client, request, "t", "p", marker), **more)  # type: ignore[arg-type]


def accepted(client: str = "c", request: str = "r", stream: str = "s") -> RequestAccepted:
    return RequestAccepted(2.0, client, request, stream, f"reply-{stream}", "e")


def frame(first: int, last: int, text: str, epoch: str = "e") -> FrameSeen:
    return FrameSeen(3.0, "c", "s", epoch, first, last, text)


def end(seq: int | None, text: str, state: str = "done", epoch: str = "e") -> EndSeen:
    return EndSeen(4.0, "c", "s", epoch, seq, state, "stop", sha256(text), len(text), text, "reply-s")


def resumed(last: int, *, recovered: bool = True, reason: str = "", epoch: str = "e") -> StreamResumed:
    return StreamResumed(3.5, "c", "s", epoch, last, recovered, reason)


OPENING: list[Entry] = [sent(), accepted()]


@settings(deadline=None, max_examples=150)
@given(SEEDS)
def test_a_clean_history_has_no_violation(seed: int) -> None:
    report = examine(sample(seed))
    assert report.violations == ()
    assert report.summary.not_checked == {}


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.filter_too_much])
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
@given(SEEDS)
def test_a_single_planted_fault_is_found(mutation: Mutation, seed: int) -> None:
    history = sample(seed, players=2, turns=2)
    expected = mutation(history, random.Random(seed))
    assume(expected)
    found = check(history)
    assert expected & {violation.rule for violation in found}, found
    assert all(violation.evidence for violation in found)


def test_every_rule_has_a_planted_fault() -> None:
    history_rules: set[Rule] = set()
    for mutation in MUTATIONS:
        history_rules |= mutation(sample(1), random.Random(1))
    assert history_rules == set(Rule)


def test_other_joins_of_the_same_events_are_no_fault() -> None:
    course: list[Entry] = [
        frame(1, 1, "a"),
        frame(2, 4, "bcd"),
        resumed(1),
        frame(2, 2, "b"),
        frame(3, 3, "c"),
        frame(4, 5, "de"),
    ]
    assert rules([*OPENING, *course, end(6, "abcde")]) == set()
    course = [frame(1, 3, "abc"), resumed(0), frame(1, 2, "ab"), frame(3, 4, "cd")]
    assert rules([*OPENING, *course, end(5, "abcd")]) == set()


@pytest.mark.parametrize(
    ("course", "broken"),
    [
        ([frame(2, 2, "b")], Rule.SEQ_CONTIGUOUS),
        ([frame(1, 1, "a"), frame(3, 3, "c")], Rule.SEQ_CONTIGUOUS),
        ([frame(0, 0, "a")], Rule.SEQ_CONTIGUOUS),
        ([frame(1, 1, "a"), frame(2, 1, "b")], Rule.SEQ_CONTIGUOUS),
        ([frame(1, 3, "abc"), frame(2, 5, "bcde")], Rule.SEQ_CONTIGUOUS),
        ([frame(1, 1, "a"), end(3, "a")], Rule.SEQ_CONTIGUOUS),
        ([frame(1, 1, "a"), end(2, "b")], Rule.HASH_EQUAL),
        ([frame(1, 1, "a"), frame(1, 1, "x")], Rule.NO_RETRACTION),
        ([frame(1, 1, "a"), frame(1, 2, "xb")], Rule.NO_RETRACTION),
        ([frame(1, 3, "abc"), frame(2, 2, "x")], Rule.NO_RETRACTION),
        ([frame(1, 1, "a"), frame(1, 1, "a", "e-2")], Rule.NO_RETRACTION),
        ([end(1, ""), frame(1, 1, "a")], Rule.NOTHING_AFTER_END),
        ([frame(1, 1, "a"), end(2, "a"), frame(1, 1, "a")], Rule.NOTHING_AFTER_END),
        ([frame(1, 1, "a"), end(2, "a"), end(2, "a")], Rule.NOTHING_AFTER_END),
        ([frame(1, 1, "a"), end(2, "a"), resumed(0), frame(2, 2, "b")], Rule.NOTHING_AFTER_END),
        ([frame(1, 1, "a"), end(2, "a"), resumed(0), end(2, "a", "failed")], Rule.ONE_TERMINAL),
        ([frame(1, 1, "a"), end(None, "a", "failed")], Rule.ONE_TERMINAL),
        ([frame(1, 1, "a")], Rule.ONE_TERMINAL),
    ],
)
def test_a_broken_course_breaks_its_rule(course: list[Entry], broken: Rule) -> None:
    assert broken in rules([*OPENING, *course])


def test_a_replay_after_a_resume_may_repeat_all_of_it_and_the_end() -> None:
    whole: list[Entry] = [frame(1, 1, "a"), frame(2, 2, "b"), end(3, "ab")]
    assert rules([*OPENING, *whole, resumed(0), *whole]) == set()


def test_a_new_epoch_is_no_retraction_when_the_client_was_told() -> None:
    told = resumed(1, recovered=False, reason="epoch_changed", epoch="e-2")
    course: list[Entry] = [frame(1, 1, "a"), told, frame(1, 1, "x", "e-2"), end(2, "x", epoch="e-2")]
    assert rules([*OPENING, *course]) == set()


def test_one_gap_is_reported_once_and_not_as_a_wrong_hash() -> None:
    found = check([*OPENING, frame(1, 1, "a"), frame(3, 3, "c"), frame(4, 4, "d"), end(5, "abcd")])
    assert [violation.rule for violation in found] == [Rule.SEQ_CONTIGUOUS]


def test_two_readers_of_one_stream_must_agree() -> None:
    other: list[Entry] = [
        sent("d"),
        accepted("d"),
        replace(frame(1, 1, "x"), client="d"),
        replace(end(2, "x"), client="d"),
    ]
    assert rules([*OPENING, frame(1, 1, "a"), end(2, "a"), *other]) >= {Rule.NO_RETRACTION}


def test_a_client_that_left_or_was_told_of_the_expiry_needs_no_end() -> None:
    assert rules([*OPENING, frame(1, 1, "a"), ClientLeft(5.0, "c")]) == set()
    report = examine([*OPENING, frame(1, 1, "a"), resumed(1, recovered=False, reason="expired")])
    assert (report.violations, report.summary.ends_excused) == ((), 1)


def test_a_refused_request_is_answered() -> None:
    assert rules([sent(), RequestRefused(2.0, "c", "r", -32007)]) == set()


def test_a_request_without_streaming_ends_with_its_one_answer() -> None:
    answer = replace(end(None, "all of it"), sha256="")
    row = RowHeld("t", "p", "conv", 1, "assistant", "reply-s", "all of it")
    asked = RowHeld("t", "p", "conv", 0, "user", "u", "Hi [[m]]")
    assert rules([sent(streaming=False), accepted(), answer, asked, row, SectionHeld("rows")]) == set()
    wrong = replace(row, content="something else")
    assert rules([sent(streaming=False), accepted(), answer, asked, wrong, SectionHeld("rows")]) == {Rule.HASH_EQUAL}


def test_a_key_with_two_bodies_is_found() -> None:
    history: list[Entry] = []
    for request, marker in (("r", "m"), ("r2", "other")):
        history += [sent(request=request, marker=marker, idempotency_key="k"), accepted(request=request)]
    assert rules([*history, end(1, "")]) == {Rule.ONE_ROW_PER_KEY}


def test_a_marker_split_over_frames_is_still_recognised() -> None:
    stranger = sent("d", "x", "theirs", player="q")
    course: list[Entry] = [frame(1, 1, "I know [[the"), frame(2, 2, "irs]]"), end(3, "I know [[theirs]]")]
    refused = RequestRefused(2.0, "d", "x", -32005)
    assert rules([*OPENING, stranger, refused, *course]) == {Rule.NO_FOREIGN_TEXT}


def test_reading_the_stream_of_another_player_is_found_without_any_marker() -> None:
    stranger: list[Entry] = [sent("d", "x", "theirs", player="q"), RequestRefused(2.0, "d", "x", -32005)]
    peek = replace(frame(1, 1, "a"), client="d")
    found = check([*OPENING, *stranger, frame(1, 1, "a"), end(2, "a"), peek])
    assert [violation.rule for violation in found] == [Rule.NO_FOREIGN_TEXT]


def test_a_second_live_call_is_excused_only_while_a_fault_hides_the_hangup() -> None:
    calls: list[Entry] = [ModelCall("m", 10.0, 32.5), ModelCall("m", 21.0, 40.0)]
    course = [*OPENING, end(1, ""), *calls]
    assert rules(course) == {Rule.ONE_MODEL_CALL}
    report = examine([*course, FaultDone(10.5, 32.0, "worker", "pause", hides_hangup=True)])
    assert (report.violations, report.summary.overlaps_excused) == ((), 1)
    assert rules([*course, FaultDone(10.5, 31.0, "worker", "pause", hides_hangup=True)]) == {Rule.ONE_MODEL_CALL}
    assert rules([*course, FaultDone(10.5, 32.0, "worker", "kill")]) == {Rule.ONE_MODEL_CALL}


def test_messages_on_their_way_at_once_may_be_answered_in_either_order() -> None:
    history: list[Entry] = []
    for number, position in ((1, 2), (2, 0)):
        name = f"s{number}"
        asked = sent("c", name, name, conversation="talk", at=float(number))
        done = EndSeen(20.0 + number, "c", name, "e", 1, "done", "stop", sha256(""), message_id=f"reply-{name}")
        history += [asked, replace(accepted("c", name, name), at=10.0 + number), done]
        history += [RowHeld("t", "p", "talk", position, "user", f"u-{name}", f"[[{name}]]")]
    assert rules(history) == set()
    later = [replace(e, at=30.0) if isinstance(e, RequestSent) and e.request == "s2" else e for e in history]
    assert rules(later) == {Rule.TURNS_IN_ORDER}


def test_a_trimmed_stream_in_redis_is_no_gap() -> None:
    held: list[Entry] = [EventHeld("t", "s", "e", 2, "b"), EventHeld("t", "s", "e", 3, "ab", "done", sha256("ab"))]
    assert rules([*OPENING, frame(1, 1, "a"), frame(2, 2, "b"), end(3, "ab"), *held]) == set()


def test_a_canned_line_and_a_volatile_reply_need_no_row() -> None:
    canned = replace(end(1, ""), finish_reason="fallback")
    assert rules([*OPENING, canned, *SECTIONS]) == set()
    volatile = replace(accepted(), durability="volatile")
    assert rules([sent(), volatile, end(1, ""), *SECTIONS]) == set()
    assert rules([*OPENING, end(1, ""), *SECTIONS]) == {Rule.ACKNOWLEDGED_SURVIVES}


def figure(streams: int, *, harmed: int = 0) -> Report:
    history: list[Entry] = list(SECTIONS)
    for number in range(streams):
        name = f"s{number}"
        history += [sent("c", name, name), replace(accepted("c", name, name), durability="volatile")]
        if number >= harmed:
            history.append(EndSeen(4.0, "c", name, "e", 1, "done", "stop", sha256("")))
    return examine(history)


def test_three_thousand_clean_streams_bound_the_rate_below_a_thousandth() -> None:
    summary = figure(3000).summary
    assert (summary.streams, summary.upper_bound) == (3000, 0.001)
    assert "0 violations in 3000 streams" in summary.text()
    assert "at most 0.100%" in summary.text()


def test_with_a_violation_or_without_a_stream_there_is_no_bound() -> None:
    summary = figure(10, harmed=2).summary
    assert (summary.upper_bound, summary.violated_streams, summary.violations[Rule.ONE_TERMINAL]) == (None, 2, 2)
    assert "2 times: each request ends exactly once" in summary.text()
    assert figure(0).summary.upper_bound is None


def test_a_flood_of_violations_is_counted_in_full_and_kept_in_part() -> None:
    report = figure(1500, harmed=1500)
    assert (len(report.violations), report.summary.violations[Rule.ONE_TERMINAL]) == (1000, 1500)


def test_a_section_that_was_not_recorded_is_named() -> None:
    summary = examine([*OPENING, end(1, "")]).summary
    assert set(summary.not_checked) == {"rows", "events", "calls"}
    assert "no calls recorded" in summary.text()
    assert summary.upper_bound is None
