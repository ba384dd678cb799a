"""What the scripts of `queue_arq` answer → the values and errors of `queue` (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, cast

import orjson

from pmcp_common.bus_redis import decode_event
from pmcp_common.contracts.errors import (
    IdempotencyConflict,
    NoActivePersona,
    SessionReplaced,
    StreamNotFound,
    StreamPosition,
    TooManyRequests,
    Unavailable,
)
from pmcp_common.contracts.jobs import Accepted, Claim, End, Submission, Verdict
from pmcp_common.redis_link import RETRY_AFTER_SECONDS

SUBMISSION_FIELDS = frozenset(field.name for field in fields(Submission))
NOT_NOW = {"RESTORING": "The message broker is being restored", "LOADING": "The player's world is being loaded"}


def accepted_of(submission: Submission, answer: Sequence[str]) -> Accepted:
    match answer[0]:
        case "OK":
            return Accepted(
                submission.job_id,
                submission.message_id,
                epoch=answer[1],
                persona_id=answer[2],
                persona_name=answer[3],
            )
        case "DUP":
            return Accepted(
                answer[4],
                answer[5],
                epoch=answer[1],
                persona_id=answer[2],
                persona_name=answer[3],
                duplicate=True,
                attachment=int(answer[6]),
                recorded=answer[7] != "",
            )
        case "DUP_GONE":
            raise StreamPosition(
                "This message was answered before, and its stream is kept no longer",
                reason="not_resumable",
                stream_id=answer[1],
                message_id=answer[2],
            )
        case "REPLACED":
            raise SessionReplaced
        case "RESTORING" | "LOADING":
            raise Unavailable(NOT_NOW[answer[0]], retry_after=RETRY_AFTER_SECONDS)
        case "GIVEN_UP":
            raise StreamNotFound(submission.job_id)
        case "NO_PERSONA":
            raise NoActivePersona
        case "CONFLICT":
            raise IdempotencyConflict("This idempotency key was used with another message")
        case "CONVERSATION_FULL":
            raise TooManyRequests("Too many messages wait in this conversation", retry_after=RETRY_AFTER_SECONDS)
    raise TooManyRequests("Too many messages wait for a worker", retry_after=RETRY_AFTER_SECONDS)


def stored_of(fields: dict[str, str], epoch: str) -> Accepted:
    return Accepted(
        fields["job"], fields["message"], epoch, fields["persona_id"], fields["persona_name"], duplicate=True
    )


def claim_of(answer: Sequence[Any]) -> Claim:
    fence, attempts, submission, persona_id, persona_name, seq, cancel, queued_ms, handed_back, verdict, *more = answer
    stored = {k: v for k, v in orjson.loads(submission).items() if k in SUBMISSION_FIELDS}
    seen = more[0] if more else ()
    return Claim(
        submission=replace(Submission(**stored), persona_name=persona_name.decode()),
        persona_id=persona_id.decode(),
        fence=int(fence),
        attempt=int(attempts),
        last_seq=int(seq),
        cancelled=cancel == b"1",
        queued_ms=float(queued_ms),
        handed_back=int(handed_back),
        verdict=verdict_of(verdict) if verdict else None,
        sights={kind.decode(): orjson.loads(one) for kind, one in sorted(zip(seen[::2], seen[1::2], strict=True))},
    )


def verdict_of(stored: bytes) -> Verdict:
    fields = orjson.loads(stored)
    return Verdict(cast(End, decode_event(fields["end"])), fields["heard_chars"])
