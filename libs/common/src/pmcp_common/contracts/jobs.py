"""One reply as a job: its states, what is submitted, what a worker claims, and the events it emits.

`TRANSITIONS` is the specification of the state machine; the in-memory twin runs it, the Lua scripts are tested
against it and the diagram in docs/protocol.md is drawn from it. Ends that no worker wrote: `ends`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

NOTHING = "none"
"""What a field of an end says when that never came about."""


class JobState(StrEnum):
    QUEUED = "queued"
    CLAIMED = "claimed"
    STREAMING = "streaming"
    COMMITTING = "committing"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class JobEvent(StrEnum):
    CLAIM = "claim"
    CLAIM_WHOLE = "claim_whole"
    """Of a reply that an earlier worker declared whole: nothing is missing but its rows and its end."""
    APPEND = "append"
    COMMIT = "commit"
    LEASE_LOST = "lease_lost"
    HAND_BACK = "hand_back"
    """Its worker leaves and lets another go on."""
    FINISH_DONE = "finish_done"
    FINISH_CANCELLED = "finish_cancelled"
    FINISH_FAILED = "finish_failed"


TERMINAL_STATES = frozenset({JobState.DONE, JobState.CANCELLED, JobState.FAILED})
MAX_ATTEMPTS = 3
"""A job that lost its worker this often is a poison job: it fails instead of killing a fourth. A worker that hands
its job back was not killed by it."""

_S, _E = JobState, JobEvent
TRANSITIONS: dict[tuple[JobState, JobEvent], JobState] = {
    (_S.QUEUED, _E.CLAIM): _S.CLAIMED,
    (_S.QUEUED, _E.CLAIM_WHOLE): _S.COMMITTING,
    (_S.QUEUED, _E.FINISH_CANCELLED): _S.CANCELLED,
    (_S.QUEUED, _E.FINISH_FAILED): _S.FAILED,
    (_S.CLAIMED, _E.APPEND): _S.STREAMING,
    (_S.CLAIMED, _E.COMMIT): _S.COMMITTING,
    (_S.STREAMING, _E.APPEND): _S.STREAMING,
    (_S.STREAMING, _E.COMMIT): _S.COMMITTING,
    (_S.COMMITTING, _E.COMMIT): _S.COMMITTING,
    **{
        (state, event): end
        for state in (_S.CLAIMED, _S.STREAMING, _S.COMMITTING)
        for event, end in (
            (_E.LEASE_LOST, _S.QUEUED),
            (_E.HAND_BACK, _S.QUEUED),
            (_E.FINISH_DONE, _S.DONE),
            (_E.FINISH_CANCELLED, _S.CANCELLED),
            (_E.FINISH_FAILED, _S.FAILED),
        )
    },
}
FINISH_EVENTS: dict[JobState, JobEvent] = {
    _S.DONE: _E.FINISH_DONE,
    _S.CANCELLED: _E.FINISH_CANCELLED,
    _S.FAILED: _E.FINISH_FAILED,
}


class IllegalTransition(Exception):
    """The event does not exist in this state; nothing was changed."""


def advance(state: JobState, event: JobEvent) -> JobState:
    """The state after `event`. Raises IllegalTransition; terminal states absorb nothing."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"{event} in state {state}") from None


@dataclass(frozen=True, slots=True)
class Submission:
    """A message a gateway asks to have answered. Stored whole before the client is told it was accepted."""

    tenant: str
    principal: str
    job_id: str
    """Also the stream id."""
    message_id: str
    """Of the reply; primary key of its row."""
    user_message_id: str
    session_id: str
    player_id: str
    message: str
    token_budget: int
    streaming: bool
    """False: only the end matters to the client (persona.chat); deltas are coalesced more coarsely."""
    gateway_id: str
    request_id: str
    accepted_at_ms: int
    """Unix milliseconds by the gateway's clock, for stamps only; leases use the Redis clock."""
    persona_id: str | None = None
    """None: the session's active persona."""
    persona_name: str | None = None
    idempotency_key: str | None = None
    body_hash: str = ""
    circumstances: dict[str, Any] = field(default_factory=dict)
    """Of the message, as `talks.Circumstances` has them; empty: nothing known."""
    deadline_ms: int | None = None
    """From acceptance to the end the client waits for; None: the hard limit of the queue."""
    on_interrupt: str = "continue"
    """continue, stop or reset: what a gateway does when the client's socket is lost and not resumed in time."""
    requeued: bool = False
    """Queued again from the record, after Redis lost its data."""
    session_gen: int = 0
    """Of the socket that asks; 0: the session was never opened. An older one than the stored is refused."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job is stored. `duplicate`: the idempotency key was seen before, and these are the first request's ids."""

    stream_id: str
    message_id: str
    epoch: str
    persona_id: str
    persona_name: str
    duplicate: bool = False
    attachment: int = 0
    """How often the stream's live channel was moved before; names this one for `cancel`."""
    recorded: bool = False
    """Of a duplicate: the first request is in the record of accepted jobs."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the reply. `seq` counts from 1 without gaps, across attempts."""

    stream_id: str
    seq: int
    attempt: int
    text: str
    kind: str = "delta"


@dataclass(frozen=True, slots=True)
class End:
    """The one terminal event. Its text is the truth: `sha256` is over the UTF-8 of all deltas in order."""

    stream_id: str
    seq: int
    attempt: int
    state: str
    """done, cancelled or failed"""
    finish_reason: str
    """stop, length, cancelled, fallback, interrupted, or an error name"""
    text: str
    sha256: str
    message_id: str
    user_message_id: str
    persona_id: str
    persona_name: str
    chunk_count: int = 0
    tokens_used: int = 0
    processing_time: float = 0.0
    """Seconds from acceptance to the end."""
    response_type: str = NOTHING
    """direct; closing for a farewell; fallback for a canned line; none: not a word was said"""
    rung: str = "full"
    """full; shortened to be on time; canned: a line that no model made"""
    degraded: bool = False
    persisted: bool = False
    reason: str = ""
    """Why the reply is degraded; empty when it is not."""
    memory: str = NOTHING
    """ok, or unavailable when the reply was made without recall; none: it ended before that"""
    model: str = ""
    """The model that really answered; empty when none did."""
    provider: str = ""
    continue_score: float | None = None
    """By which the reply was routed."""
    score_parts: dict[str, float] = field(default_factory=dict)
    routing: str = NOTHING
    """full, shortened or constrained by the continue score; closing: a farewell that no model made; none: it ended
    before it was routed"""
    persona_state: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    """Milliseconds by step, see docs/protocol.md."""
    error_code: int | None = None
    error_message: str | None = None
    error_data: dict[str, Any] = field(default_factory=dict)
    kind: str = "end"


StreamEvent = Delta | End


@dataclass(frozen=True, slots=True)
class StreamPage:
    """Events after a position, oldest first. `state` is the job's now; `epoch` names the life of the data."""

    events: tuple[StreamEvent, ...]
    state: JobState
    epoch: str
    head_seq: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a worker declares when the text in the stream is whole, before its rows are written.

    The first declaration counts, and no word comes after it: whoever ends the reply from then on ends it so. That is
    why a row and an end never differ, however late a paused worker writes its row.
    """

    end: End
    """Without its text, which is in the stream."""
    heard_chars: int | None = None
    """Only so much of the text is stored as said; None: all."""


@dataclass(frozen=True, slots=True)
class Declared:
    """The answer to a declaration."""

    answer: AppendResult
    others_owed: bool = False
    """Rows of earlier turns of the conversation wait for the memory service: this one's must not overtake them."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to write this job's stream, until the lease ends or another claim raises the fence."""

    submission: Submission
    persona_id: str
    fence: int
    attempt: int
    """1 for the first worker; also sent in each frame."""
    last_seq: int
    """Position of the last event already in the stream; > 0 after an earlier worker's death."""
    cancelled: bool
    queued_ms: float
    """From submit to claim, by the Redis clock."""
    handed_back: int = 0
    """How many earlier workers left in order, before this claim. The others among them were lost."""
    verdict: Verdict | None = None
    """Of an earlier worker: the text in the stream is whole, and this is how the reply ends."""
    sights: dict[str, Any] = field(default_factory=dict)
    """What the session's player sees now, by kind."""


class ClaimRefusal(StrEnum):
    GONE = "gone"
    TERMINAL = "terminal"
    HELD = "held"
    """Another worker's lease is alive."""
    EXHAUSTED = "exhausted"
    """MAX_ATTEMPTS reached; the claim itself ended the job as failed."""


class AppendResult(StrEnum):
    OK = "OK"
    CANCEL = "CANCEL"
    """Written, now or before, and the client has asked to stop."""
    DUP = "DUP"
    """This seq is already in the stream; nothing written."""
    FENCED = "FENCED"
    """A newer claim owns the job; nothing written, stop at once."""
    TERMINAL = "TERMINAL"
    GONE = "GONE"
    ILLEGAL = "ILLEGAL"
    """`TRANSITIONS` has no such event in the job's state; nothing written. A fault of the caller."""
    GAP = "GAP"
    """A seq was skipped; nothing written. A fault of the caller."""


def text_of(events: tuple[StreamEvent, ...]) -> str:
    """The reply so far, as the client has it."""
    return "".join(event.text for event in events if isinstance(event, Delta))
