"""The rows a reply leaves behind (pure): the same whoever ends it, a worker, the reaper or a gateway."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from pydantic import ValidationError

from pmcp_common.contracts import keys
from pmcp_common.contracts.ends import FALLBACK
from pmcp_common.contracts.jobs import Claim, End, JobState
from pmcp_common.contracts.memories import CommitTurns, Role, Turn
from pmcp_common.contracts.talks import Circumstances, partner_of

log = logging.getLogger(__name__)

MAX_WORLD_TIME_CHARS = 40


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


def circumstances_of(claim: Claim) -> Circumstances:
    known = Circumstances.__dataclass_fields__
    given = claim.submission.circumstances
    return Circumstances(**{name: value for name, value in given.items() if name in known})


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


def rows_of_unattended(claim: Claim, end: End, heard_chars: int | None, now: datetime) -> bytes:
    """An entry of the spool for an end that no worker wrote; empty for no rows, and for such as cannot be: an end is
    owed in any case."""
    try:
        turns = turns_to_commit(claim, end, end.text[:heard_chars], now)
    except ValidationError:
        log.exception("a reply leaves no rows", extra={"job": claim.submission.job_id})
        return b""
    return b"" if turns is None else encode_turns(turns)


def encode_turns(turns: CommitTurns) -> bytes:
    """As the spool keeps them."""
    return orjson.dumps(turns.model_dump(mode="json"))
