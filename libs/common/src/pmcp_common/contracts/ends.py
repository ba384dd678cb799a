"""Ends of replies that no worker wrote: cancelled in the queue, late, or lost (pure).

What was shown stays shown. Whoever notices that a client's deadline is over makes the same end of it: the persona's
canned line when nothing was said, else what was said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from pmcp_common.contracts.errors import DEADLINE_EXCEEDED, LLM_ERROR
from pmcp_common.contracts.jobs import NOTHING, Claim, Delta, End, JobState

DIRECT, FALLBACK = "direct", "fallback"
LENGTH = "length"
LAST_FALLBACK_LINE = "Forgive me, I cannot find the words just now. Ask me again in a moment?"
LATE, LOST = "deadline", "worker_lost"
TOO_LATE = "The model had no answer before the client's deadline"
ERRORS = {
    LATE: (DEADLINE_EXCEEDED.code, "The reply did not come in time"),
    LOST: (LLM_ERROR.code, "The reply could not be finished: its workers were lost"),
}


def choose_line(lines: Sequence[str], stream_id: str) -> str:
    """One of the persona's own lines; the same one for the same stream, so that a second attempt says the same."""
    speakable = [line for line in lines if line.strip()]
    if not speakable:
        return LAST_FALLBACK_LINE
    return speakable[int.from_bytes(hashlib.sha256(stream_id.encode()).digest()[:8]) % len(speakable)]


def end_without_model(
    claim: Claim,
    text: str,
    *,
    state: JobState,
    finish_reason: str,
    error: tuple[int, str] | None = None,
    response_type: str | None = None,
    rung: str = "full",
    reason: str = "",
) -> End:
    """`text` is what is in the stream when the end is written, and the hash is over it."""
    return End(
        stream_id=claim.submission.job_id,
        seq=claim.last_seq + 1,
        attempt=max(1, claim.attempt),
        state=state.value,
        finish_reason=finish_reason,
        text=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        message_id=claim.submission.message_id,
        user_message_id=claim.submission.user_message_id,
        persona_id=claim.persona_id,
        persona_name=claim.submission.persona_name or "",
        chunk_count=claim.last_seq,
        processing_time=round(claim.queued_ms / 1000, 3),
        response_type=response_type or (DIRECT if text else NOTHING),
        rung=rung,
        degraded=response_type == FALLBACK,
        reason=reason,
        error_code=error[0] if error else None,
        error_message=error[1] if error else None,
    )


def end_as_declared(claim: Claim, text: str) -> End | None:
    """As the worker that made the text whole said it would end; None: nobody said so."""
    if claim.verdict is None:
        return None
    return replace(claim.verdict.end, text=text, seq=claim.last_seq + 1, attempt=max(1, claim.attempt))


def end_cancelled(claim: Claim, shown: str) -> End:
    return end_as_declared(claim, shown) or end_without_model(
        claim, shown, state=JobState.CANCELLED, finish_reason="cancelled"
    )


def end_given_up(claim: Claim, shown: str, reason: str, lines: Sequence[str]) -> tuple[Delta | None, End]:
    """The end, and what has to be in the stream before it. `lines`: the persona's canned ones.

    `reason`: LATE or LOST. A client that set the deadline itself gets what there is; others get an error.
    """
    declared = end_as_declared(claim, shown)
    if declared is not None:
        return None, declared
    if claim.cancelled:
        return None, end_cancelled(claim, shown)
    if reason != LATE or claim.submission.deadline_ms is None:
        return None, end_without_model(claim, shown, state=JobState.FAILED, finish_reason=reason, error=ERRORS[reason])
    line = choose_line(lines, claim.submission.job_id)
    if shown and shown not in (line, LAST_FALLBACK_LINE):
        return None, end_without_model(claim, shown, state=JobState.DONE, finish_reason=LENGTH, rung="shortened")
    delta = None
    if not shown:
        delta = Delta(claim.submission.job_id, claim.last_seq + 1, max(1, claim.attempt), line)
        claim = replace(claim, last_seq=delta.seq)
    return delta, end_without_model(
        claim,
        shown or line,
        state=JobState.DONE,
        finish_reason=FALLBACK,
        response_type=FALLBACK,
        rung="canned",
        reason=TOO_LATE,
    )
