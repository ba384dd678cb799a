"""What a fault costs is read from what clients saw, and nothing else."""

from __future__ import annotations

import pytest

from bench.soak.figures import costs, course_of, lived_through_a_fault, recovery, shared_silences
from pmcp_common.testing.history_entries import ClientLeft, EndSeen, Entry, FaultDone, FrameSeen
from pmcp_common.testing.history_entries import RequestAccepted as Accepted
from pmcp_common.testing.history_entries import RequestSent as Sent


def fault(at: float, until: float, target: str = "worker") -> FaultDone:
    return FaultDone(at, until, target, "kill")


def stream(client: str, *moments: float) -> list[Entry]:
    """Sent and accepted at the first moment, a frame at each one between, ended at the last."""
    begun, *between, ended = moments
    name = f"s-{client}"
    frames = [FrameSeen(at, client, name, "e", seq, seq, "x") for seq, at in enumerate(between, 1)]
    return [
        Sent(begun, client, "1", "t", client, f"[[{client}]]"),
        Accepted(begun, client, "1", name, "m"),
        *frames,
        EndSeen(ended, client, name, "e", len(frames) + 1, "done", "stop", ""),
    ]


def test_a_recovery_runs_from_the_fault_to_what_the_client_saw_next() -> None:
    course = course_of([*stream("a", 0, 1, 9, 10), fault(2, 4)])
    assert recovery(course.faults[0], sorted(course.waits)) == 7


def test_a_wait_that_was_over_before_the_fault_or_began_long_after_it_is_not_its_doing() -> None:
    course = course_of([*stream("a", 0, 5, 5.5), *stream("b", 20, 29, 30), fault(6, 7)])
    assert recovery(course.faults[0], sorted(course.waits)) == 0


def test_nobody_was_served_only_while_all_who_waited_saw_nothing() -> None:
    one = course_of(stream("a", 0, 1, 9, 10)).waits
    assert list(shared_silences(sorted(one))) == [(1, 9)]
    other = course_of(stream("b", 0, 2, 3, 4, 5, 6, 7, 8, 9)).waits
    assert list(shared_silences(sorted([*one, *other]))) == []


def test_a_silence_without_anybody_waiting_counts_from_the_next_request() -> None:
    waits = [*course_of(stream("a", 0, 1)).waits, *course_of(stream("b", 50, 53)).waits]
    assert list(shared_silences(sorted(waits))) == [(50, 53)]


def test_a_client_that_left_waits_for_nothing() -> None:
    history = [Sent(0, "a", "1", "t", "a", "[[a]]"), ClientLeft(1, "a"), *stream("b", 2, 3, 4)]
    assert course_of(history).waits == [(2, 3), (3, 4)]


def test_costs_are_summed_by_kind_and_set_against_a_month() -> None:
    (cost,) = costs(course_of([*stream("a", 0, 1, 9, 10), fault(2, 4), fault(8.5, 8.6)]))
    assert (cost.name, cost.faults, cost.recovery_max) == ("worker kill", 2, 7)
    assert (cost.unavailable_max, cost.affordable_a_month) == (8, 324)


def test_a_fault_nobody_felt_may_happen_any_number_of_times() -> None:
    (cost,) = costs(course_of([*stream("a", 0, 1, 2), fault(50, 51)]))
    assert cost.affordable_a_month is None


@pytest.mark.parametrize(("at", "lived"), [(0.5, 1), (5.0, 0)])
def test_streams_that_were_going_on_during_a_fault_are_counted(at: float, lived: int) -> None:
    assert lived_through_a_fault(course_of([*stream("a", 0, 1, 2), fault(at, at + 1)])) == lived
