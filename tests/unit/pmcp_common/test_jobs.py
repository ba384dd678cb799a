"""The state machine of a reply: a table, from which nothing illegal follows."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_common.contracts.ends import end_without_model
from pmcp_common.contracts.jobs import (
    TERMINAL_STATES,
    TRANSITIONS,
    Claim,
    IllegalTransition,
    JobEvent,
    JobState,
    Submission,
    advance,
)


@given(st.lists(st.sampled_from(JobEvent), max_size=30))
def test_any_history_either_follows_the_table_or_changes_nothing(events: list[JobEvent]) -> None:
    state = JobState.QUEUED
    for event in events:
        expected = TRANSITIONS.get((state, event))
        if expected is None:
            with pytest.raises(IllegalTransition):
                advance(state, event)
        else:
            state = advance(state, event)
            assert state == expected


@pytest.mark.parametrize("state", sorted(TERMINAL_STATES))
@pytest.mark.parametrize("event", JobEvent)
def test_nothing_leaves_a_terminal_state(state: JobState, event: JobEvent) -> None:
    with pytest.raises(IllegalTransition):
        advance(state, event)


@pytest.mark.parametrize("state", [state for state in JobState if state not in TERMINAL_STATES])
def test_every_living_state_can_fail_and_be_cancelled(state: JobState) -> None:
    assert advance(state, JobEvent.FINISH_FAILED) == JobState.FAILED
    assert advance(state, JobEvent.FINISH_CANCELLED) == JobState.CANCELLED


@given(st.text(), st.integers(min_value=0, max_value=1000))
def test_an_end_without_a_model_keeps_what_was_shown(text: str, last_seq: int) -> None:
    text = text.encode("utf-8", "ignore").decode()
    submission = Submission("local", "local", "j", "m", "u", "s", "p", "Hi", 10, True, "g", "r", 0)
    claim = Claim(submission, "aria", 1, 1, last_seq, cancelled=False, queued_ms=1500.0)
    end = end_without_model(claim, text, state=JobState.FAILED, finish_reason="deadline", error=(-32010, "late"))
    assert (end.text, end.seq, end.processing_time) == (text, last_seq + 1, 1.5)
    assert end.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert (end.error_code, end.error_message) == (-32010, "late")
