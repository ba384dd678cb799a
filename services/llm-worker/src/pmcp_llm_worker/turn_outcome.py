"""How one reply went, and what follows from it (pure): the rows to store, the terminal event, what is remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pmcp_common.contracts import keys
from pmcp_common.contracts.ends import DIRECT, FALLBACK, choose_line
from pmcp_common.contracts.errors import ErrorCode
from pmcp_common.contracts.jobs import NOTHING, Claim, End, JobState
from pmcp_common.contracts.memories import CommitTurns, Role, Turn
from pmcp_common.contracts.personas import InteractionState, Persona
from pmcp_common.contracts.talks import Circumstances, Routing, partner_of
from pmcp_llm_worker.continue_score import PLAYER, ContinueScore, OtherSide, drift_count, score_continuation
from pmcp_llm_worker.model import Usage
from pmcp_llm_worker.rungs import Rung

MAX_WORLD_TIME_CHARS = 40
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


def storable(text: str) -> str:
    """NUL cannot be stored."""
    return text.replace("\x00", "\ufffd")


def turns_to_commit(claim: Claim, end: End, text: str, now: datetime) -> CommitTurns | None:
    """What was said by both sides, `text` by the persona; None for nothing.

    A canned line is not what the persona said, so it is left out, and so is a message that was never answered because
    the persona would not, or its client took it back.
    """
    if not text and end.response_type != FALLBACK:
        return None
    submission = claim.submission
    message = storable(submission.message)
    asked = _turn(claim, submission.user_message_id, Role.USER, message, _sent_at(claim, now), _by(_player_name(claim)))
    turns: Sequence[Turn] = (asked,)
    if has_row(end):
        about = {
            **_by(end.persona_name),
            "state": end.state,
            "finish_reason": end.finish_reason,
            "model": end.model,
            "provider": end.provider,
            "response_type": end.response_type,
            "routing": end.routing,
            "memory": end.memory,
            "tokens": end.tokens_used,
            "continue_score": end.continue_score,
        }
        turns = (asked, _turn(claim, submission.message_id, Role.ASSISTANT, text, max(now, asked.created_at), about))
    return CommitTurns(turns=tuple(turns))


def has_row(end: End) -> bool:
    """Of its own: a farewell has one, a line that stands in for a missing model has not."""
    return end.response_type != FALLBACK


def has_effects(end: End) -> bool:
    """A whole answer of the model becomes memory; after a farewell the persona rests."""
    return end.state == JobState.DONE and has_row(end)


def _world_time(claim: Claim) -> dict[str, str]:
    """What the clock of the client's world says, if the situation it tells of has one: memories age by it."""
    told = circumstances_of(claim).notes.get("world_time")
    return {"world_time": told[:MAX_WORLD_TIME_CHARS]} if isinstance(told, str) else {}


def _by(speaker: str) -> dict[str, str]:
    return {"speaker": speaker} if speaker else {}


def _player_name(claim: Claim) -> str:
    """As the client named the player; empty for one who is known by the session alone, or is a persona."""
    player_id = claim.submission.player_id
    return "" if player_id == claim.submission.session_id or partner_of(player_id) is not None else player_id


def _persona_name(claim: Claim, outcome: Outcome) -> str:
    return outcome.persona.name if outcome.persona else claim.submission.persona_name or ""


def _sent_at(claim: Claim, now: datetime) -> datetime:
    """Acceptance by the gateway's clock, but never after the answer: turns are read back in order of time."""
    return min(now, datetime.fromtimestamp(claim.submission.accepted_at_ms / 1000, now.tzinfo))


def _turn(claim: Claim, message_id: str, role: Role, text: str, at: datetime, about: dict[str, Any]) -> Turn:
    submission = claim.submission
    return Turn(
        message_id=message_id,
        conversation_id=keys.conversation_id(submission.tenant, claim.persona_id, submission.player_id),
        persona_id=claim.persona_id,
        player_id=submission.player_id,
        role=role,
        content=text,
        created_at=at,
        metadata={
            "request_id": submission.request_id,
            "stream_id": submission.job_id,
            "session_id": submission.session_id,
            **_world_time(claim),
            **about,
        },
    )


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


def circumstances_of(claim: Claim) -> Circumstances:
    known = Circumstances.__dataclass_fields__
    given = claim.submission.circumstances
    return Circumstances(**{name: value for name, value in given.items() if name in known})


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
