"""How one reply went, and what follows from it (pure): the rows to store, the terminal event, what is remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pmcp_common.contracts.ends import DIRECT, FALLBACK, choose_line
from pmcp_common.contracts.errors import ErrorCode
from pmcp_common.contracts.jobs import NOTHING, Claim, End, JobState
from pmcp_common.contracts.memories import Turn
from pmcp_common.contracts.personas import InteractionState, Persona
from pmcp_common.contracts.talks import Routing, partner_of
from pmcp_common.turn_rows import circumstances_of
from pmcp_llm_worker.continue_score import PLAYER, ContinueScore, OtherSide, drift_count, score_continuation
from pmcp_llm_worker.model import Usage
from pmcp_llm_worker.rungs import Rung

TOKENS_PER_WORD = 1.3
WITHOUT_RECALL = "Memory does not answer: the reply was made without recall"
CLOSING = "closing"
INTERRUPTED = "interrupted"


@dataclass(slots=True)
class Outcome:
    """Filled while the reply runs; `chat_turn` owns it."""

    persona: Persona | None = None
    state: InteractionState | None = None
    compatibility: float | None = None
    """0..1 of the relationship with the other side; None: there is none yet."""
    memory: str = NOTHING
    ended: JobState = JobState.DONE
    finish_reason: str = "stop"
    response_type: str = DIRECT
    reason: str = ""
    """Why a line of ours stands in for the model's answer."""
    score: ContinueScore | None = None
    """None: how the persona stands is not known."""
    routing: Routing | None = None
    usage: Usage | None = None
    provider: str = ""
    error: tuple[ErrorCode, str] | None = None
    error_data: dict[str, Any] = field(default_factory=dict)
    due: float | None = None
    """Monotonic time at which the client's patience ends; None: it set no deadline."""
    rung: Rung = Rung.FULL
    said_tokens: int = 0
    """Of the text that the reply was continued from, estimated."""
    timings: dict[str, float] = field(default_factory=dict)

    def fail(self, row: ErrorCode, message: str, finish_reason: str) -> None:
        self.ended, self.finish_reason, self.error = JobState.FAILED, finish_reason, (row, message)

    def fall_back(self, reason: str) -> None:
        self.reason = reason
        self.ended, self.finish_reason, self.response_type = JobState.DONE, FALLBACK, FALLBACK
        self.rung = Rung.CANNED

    def cancel(self) -> None:
        self.ended, self.finish_reason = JobState.CANCELLED, "cancelled"

    def close(self) -> None:
        """The persona takes its leave, in its own words but without a model."""
        self.ended, self.finish_reason, self.response_type = JobState.DONE, CLOSING, CLOSING
        self.routing = Routing.CLOSING


@dataclass(frozen=True, slots=True)
class Written:
    """What is in the stream."""

    text: str
    sha256: str
    seq: int
    """Of the last delta."""


def fallback_line(persona: Persona | None, stream_id: str) -> str:
    return choose_line(persona.fallback_lines if persona is not None else (), stream_id)


def _persona_name(claim: Claim, outcome: Outcome) -> str:
    return outcome.persona.name if outcome.persona else claim.submission.persona_name or ""


def end_of(claim: Claim, outcome: Outcome, written: Written) -> End:
    """Before anything of it is stored, and before it is known how long that takes."""
    submission = claim.submission
    usage = outcome.usage
    reason = _reason(outcome)
    return End(
        stream_id=submission.job_id,
        seq=written.seq + 1,
        attempt=claim.attempt,
        state=outcome.ended.value,
        finish_reason=outcome.finish_reason,
        text=written.text,
        sha256=written.sha256,
        message_id=submission.message_id,
        user_message_id=submission.user_message_id,
        persona_id=claim.persona_id,
        persona_name=_persona_name(claim, outcome),
        chunk_count=written.seq,
        tokens_used=_tokens(outcome, written.text),
        response_type=outcome.response_type if written.text else NOTHING,
        rung=outcome.rung.value,
        degraded=bool(reason),
        reason=reason,
        memory=outcome.memory,
        model=usage.model if usage else "",
        provider=outcome.provider if usage else "",
        continue_score=outcome.score.total if outcome.score else None,
        score_parts=outcome.score.parts() if outcome.score else {},
        routing=outcome.routing.value if outcome.routing else NOTHING,
        persona_state=_persona_state(outcome.state),
        timings={name: round(value, 3) for name, value in outcome.timings.items()},
        error_code=outcome.error[0].code if outcome.error else None,
        error_message=outcome.error[1] if outcome.error else None,
        error_data=outcome.error_data,
    )


def _reason(outcome: Outcome) -> str:
    if outcome.response_type == FALLBACK:
        return outcome.reason
    return WITHOUT_RECALL if outcome.memory == "unavailable" else ""


def _tokens(outcome: Outcome, text: str) -> int:
    usage = outcome.usage
    if usage is not None and usage.output_tokens is not None:
        return outcome.said_tokens + usage.output_tokens
    return count_tokens(text)


def count_tokens(text: str) -> int:
    """Estimated, for a text whose tokens nobody counted."""
    return int(len(text.split()) * TOKENS_PER_WORD)


def score_reply(
    claim: Claim, outcome: Outcome, partner: Persona | None, turns: Sequence[Turn] = ()
) -> ContinueScore | None:
    """Of the reply about to be made. `partner`: the persona that speaks, when it is one; `turns`: before it."""
    if outcome.persona is None or outcome.state is None:
        return None
    submission = claim.submission
    other = PLAYER
    if partner is not None:
        other = OtherSide(partner.charisma, partner.social_rank, partner.topic_preferences, outcome.compatibility)
    elif partner_of(submission.player_id) is None:
        other = OtherSide(compatibility=outcome.compatibility)
    topic = circumstances_of(claim).topic
    return score_continuation(
        outcome.persona,
        outcome.state,
        topic or submission.message,
        tokens_left=submission.token_budget,
        other=other,
        drift_count=drift_count(topic, [turn.content for turn in turns]),
    )


def _persona_state(state: InteractionState | None) -> dict[str, Any]:
    if state is None:
        return {}
    return {
        "social_energy": state.social_energy,
        "available_time": state.available_time,
        "interaction_fatigue": state.interaction_fatigue,
    }
