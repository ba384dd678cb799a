"""How one reply went, and what follows from it (pure): the rows to store, the terminal event, what is remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import ErrorCode
from pmcp_common.contracts.jobs import Claim, End, JobState
from pmcp_common.contracts.memories import CommitTurns, Role, Turn
from pmcp_common.contracts.personas import InteractionState, Persona
from pmcp_common.contracts.talks import Circumstances, Routing, partner_of
from pmcp_llm_worker.continue_score import PLAYER, ContinueScore, OtherSide, score_continuation
from pmcp_llm_worker.model import Usage
from pmcp_llm_worker.rungs import Rung

TOKENS_PER_WORD = 1.3
FALLBACK = "fallback"
DIRECT = "direct"
CLOSING = "closing"
INTERRUPTED = "interrupted"
LAST_FALLBACK_LINE = "Forgive me, I cannot find the words just now. Ask me again in a moment?"


@dataclass(slots=True)
class Outcome:
    """Filled while the reply runs; `chat_turn` owns it."""

    persona: Persona | None = None
    state: InteractionState | None = None
    compatibility: float | None = None
    """0..1 of the relationship with the other side; None: there is none yet."""
    memory: str = "ok"
    ended: JobState = JobState.DONE
    finish_reason: str = "stop"
    response_type: str = DIRECT
    score: ContinueScore | None = None
    """None: how the persona stands is not known."""
    routing: Routing = Routing.FULL
    usage: Usage | None = None
    provider: str = ""
    error: tuple[ErrorCode, str] | None = None
    due: float | None = None
    """Monotonic time at which the client's patience ends; None: it set no deadline."""
    rung: Rung = Rung.FULL
    said_tokens: int = 0
    """Of the text that the reply was continued from, estimated."""
    timings: dict[str, float] = field(default_factory=dict)

    def fail(self, row: ErrorCode, message: str, finish_reason: str) -> None:
        self.ended, self.finish_reason, self.error = JobState.FAILED, finish_reason, (row, message)

    def fall_back(self) -> None:
        self.ended, self.finish_reason, self.response_type = JobState.DONE, FALLBACK, FALLBACK
        self.rung = Rung.CANNED

    def cancel(self) -> None:
        self.ended, self.finish_reason = JobState.CANCELLED, "cancelled"

    def close(self) -> None:
        """The persona takes its leave, in its own words but without a model."""
        self.ended, self.finish_reason, self.response_type = JobState.DONE, CLOSING, CLOSING
        self.routing = Routing.CLOSING

    @property
    def spoken_by_model(self) -> bool:
        return self.response_type == DIRECT

    @property
    def spoken(self) -> bool:
        """By the persona: a farewell is, a line that stands in for a missing model is not."""
        return self.response_type != FALLBACK

    @property
    def worth_remembering(self) -> bool:
        """Only a whole answer of the model becomes memory."""
        return self.ended is JobState.DONE and self.spoken_by_model


@dataclass(frozen=True, slots=True)
class Written:
    """What is in the stream."""

    text: str
    sha256: str
    seq: int
    """Of the last delta."""


def fallback_line(persona: Persona | None, stream_id: str) -> str:
    """One of the persona's own lines; the same one for the same stream, so that a second attempt says the same."""
    lines = [line for line in persona.fallback_lines if line.strip()] if persona is not None else []
    if not lines:
        return LAST_FALLBACK_LINE
    return lines[int.from_bytes(hashlib.sha256(stream_id.encode()).digest()[:8]) % len(lines)]


def storable(text: str) -> str:
    """NUL cannot be stored."""
    return text.replace("\x00", "\ufffd")


def turns_to_commit(claim: Claim, outcome: Outcome, text: str, now: datetime) -> CommitTurns | None:
    """What was said by both sides; None for nothing. A canned line is not what the persona said, so it is left out,
    and so is a message that was never answered because the persona would not, or its client took it back."""
    heard = bool(text) or outcome.response_type == FALLBACK
    if not heard:
        return None
    submission = claim.submission
    message = storable(submission.message)
    asked = _turn(claim, submission.user_message_id, Role.USER, message, _sent_at(claim, now), _by(_player_name(claim)))
    turns: Sequence[Turn] = (asked,)
    if outcome.spoken:
        about = {
            **_by(_persona_name(claim, outcome)),
            "state": outcome.ended.value,
            "finish_reason": outcome.finish_reason,
            "model": outcome.usage.model if outcome.usage else "",
            "provider": outcome.provider,
            "response_type": outcome.response_type,
            "tokens": _tokens(outcome, text),
            "continue_score": outcome.score.total if outcome.score else None,
        }
        turns = (asked, _turn(claim, submission.message_id, Role.ASSISTANT, text, max(now, asked.created_at), about))
    return CommitTurns(turns=tuple(turns))


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
            **about,
        },
    )


def end_of(claim: Claim, outcome: Outcome, written: Written, *, seconds: float, persisted: bool) -> End:
    """`seconds`: from acceptance until now."""
    submission = claim.submission
    usage = outcome.usage
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
        processing_time=round(seconds, 3),
        response_type=outcome.response_type,
        rung=outcome.rung.value,
        degraded=outcome.response_type == FALLBACK or outcome.memory != "ok",
        persisted=persisted,
        memory=outcome.memory,
        model=usage.model if usage else "",
        provider=outcome.provider if usage else "",
        continue_score=outcome.score.total if outcome.score else None,
        score_parts=outcome.score.parts() if outcome.score else {},
        routing=outcome.routing.value,
        persona_state=_persona_state(outcome.state),
        timings={name: round(value, 3) for name, value in outcome.timings.items()},
        error_code=outcome.error[0].code if outcome.error else None,
        error_message=outcome.error[1] if outcome.error else None,
    )


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


def score_reply(claim: Claim, outcome: Outcome, partner: Persona | None) -> ContinueScore | None:
    """Of the reply about to be made. `partner`: the persona that speaks, when it is one."""
    if outcome.persona is None or outcome.state is None:
        return None
    submission = claim.submission
    other = PLAYER
    if partner is not None:
        other = OtherSide(partner.charisma, partner.social_rank, partner.topic_preferences, outcome.compatibility)
    elif partner_of(submission.player_id) is None:
        other = OtherSide(compatibility=outcome.compatibility)
    subject = circumstances_of(claim).topic or submission.message
    return score_continuation(outcome.persona, outcome.state, subject, tokens_left=submission.token_budget, other=other)


def _persona_state(state: InteractionState | None) -> dict[str, Any]:
    if state is None:
        return {}
    return {
        "social_energy": state.social_energy,
        "available_time": state.available_time,
        "interaction_fatigue": state.interaction_fatigue,
    }
