"""`JobQueue` on Redis: every step is one script of `lua/`, so that no crash can leave a step half done.

The scripts write arq's queue ZSET, and for off-path jobs its payload (arq 0.28 pinned); `worker_arq` is the other side.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import orjson

from pmcp_common.bus import UNREADABLE
from pmcp_common.bus_redis import RedisStreamBus, decode_event, encode_event
from pmcp_common.contracts import keys
from pmcp_common.contracts.ends import LATE, LOST, end_cancelled, end_given_up
from pmcp_common.contracts.errors import (
    IdempotencyConflict,
    NoActivePersona,
    SessionReplaced,
    StreamNotFound,
    StreamPosition,
    TooManyRequests,
    Unavailable,
)
from pmcp_common.contracts.jobs import (
    MAX_ATTEMPTS,
    Accepted,
    AppendResult,
    Claim,
    ClaimRefusal,
    Declared,
    End,
    IllegalTransition,
    JobState,
    Submission,
    Verdict,
    text_of,
)
from pmcp_common.queue import Reaped
from pmcp_common.redis_link import RETRY_AFTER_SECONDS, BytesRedis, Script, broker_errors
from pmcp_common.turn_rows import rows_of_unattended

log = logging.getLogger(__name__)

SUBMISSION_FIELDS = frozenset(field.name for field in fields(Submission))
NOT_NOW = {"RESTORING": "The message broker is being restored", "LOADING": "The player's world is being loaded"}
LATE_MOMENT_MS = 150
"""A worker that holds its lease past a client's deadline is left alone for so long: its end is on the way."""
LATE_WORKER_MS = 15_000
"""The same where the client set no deadline, or the rows are being stored."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Every bound of the job machine, with its unit."""

    lease_seconds: float = 10.0
    """A worker silent for this long has lost its job. Renewed by each append and every 3 s."""
    pickup_seconds: float = 15.0
    """A queued job is looked after this often; the reaper re-queues it only when arq lost it."""
    deadline_seconds: float = 300.0
    """From acceptance to the end of a reply; the original's hard limit."""
    max_queue: int = 2000
    """Jobs waiting for a worker; more are refused with `retry_after`."""
    max_conversation: int = 16
    """Turns of one conversation waiting in order."""
    resume_window_seconds: int = 600
    """How long an ended stream can still be read."""
    session_seconds: int = 86_400
    idempotency_seconds: int = 86_400


class ArqJobQueue:
    def __init__(self, redis: BytesRedis, bus: RedisStreamBus, limits: QueueLimits | None = None) -> None:
        self.limits = limits or QueueLimits()
        self._redis = redis
        self._bus = bus
        self._epoch = ""
        """Of the data, when this process last knew that nothing of an earlier life was still to be queued again."""
        self._submit, self._claim, self._renew, self._finish, self._cancel, self._reap, self._expire = (
            Script(redis, name) for name in ("submit", "claim", "renew", "finish", "cancel", "reap", "expire_job")
        )
        self._release, self._declare = Script(redis, "release"), Script(redis, "commit")
        self._lease_ms = int(self.limits.lease_seconds * 1000)
        self._pickup_ms = int(self.limits.pickup_seconds * 1000)

    async def submit(self, submission: Submission) -> Accepted:
        tenant, job_key = submission.tenant, keys.job(submission.tenant, submission.job_id)
        idempotency = (
            keys.idempotency(tenant, submission.principal, submission.player_id, submission.idempotency_key)
            if submission.idempotency_key is not None
            else job_key
        )
        limits = self.limits
        answer = await self._submit(
            [
                job_key,
                keys.session(tenant, submission.session_id),
                keys.RUNNING,
                keys.EPOCH,
                keys.conversations(tenant),
                keys.REPLY_QUEUE,
                idempotency,
            ],
            [
                tenant,
                submission.job_id,
                submission.message_id,
                submission.principal,
                submission.player_id,
                submission.persona_id or "",
                submission.persona_name or "",
                keys.gateway_channel(submission.gateway_id),
                orjson.dumps(submission),
                submission.body_hash,
                uuid.uuid4().hex,
                limits.max_queue,
                limits.max_conversation,
                self._pickup_ms,
                int(limits.deadline_seconds) * 2 + limits.resume_window_seconds,
                limits.session_seconds,
                limits.idempotency_seconds,
                self._deadline_ms(submission),
                submission.session_gen,
                submission.on_interrupt,
                "" if submission.deadline_ms is None else "1",
                keys.sights(tenant, submission.session_id),
                self._epoch,
                "1" if submission.requeued else "",
            ],
        )
        accepted = _accepted(submission, [part.decode() for part in answer])
        if not self._epoch or (submission.idempotency_key is not None and not accepted.duplicate):
            self._epoch = accepted.epoch
        return accepted

    async def claim(
        self, tenant: str, job_id: str, ticket: str = "", claimant: str | None = None
    ) -> Claim | ClaimRefusal:
        status, *rest = await self._claim(
            [keys.job(tenant, job_id), keys.RUNNING, keys.REPLY_QUEUE],
            [f"{tenant}/{job_id}", self._lease_ms, MAX_ATTEMPTS, ticket, claimant or uuid.uuid4().hex],
        )
        if status == b"OK":
            return _claim(rest)
        if status == b"EXHAUSTED":
            await self._give_up(_claim(rest), LOST)
        return ClaimRefusal(status.decode().lower())

    async def renew(self, claim: Claim) -> AppendResult:
        tenant, job_id = claim.submission.tenant, claim.submission.job_id
        answer = await self._renew(
            [keys.job(tenant, job_id), keys.RUNNING], [f"{tenant}/{job_id}", claim.fence, self._lease_ms]
        )
        return AppendResult(answer.decode())

    async def declare(self, claim: Claim, verdict: Verdict) -> Declared:
        tenant, job_id = claim.submission.tenant, claim.submission.job_id
        answer, owed = await self._declare(
            [keys.job(tenant, job_id), keys.RUNNING, keys.SPOOL],
            [f"{tenant}/{job_id}", claim.fence, self._lease_ms, orjson.dumps(verdict)],
        )
        return Declared(AppendResult(answer.decode()), bool(owed))

    async def finish(self, claim: Claim, end: End, *, remember: bool) -> bool:
        ids = claim.submission.tenant, claim.submission.job_id, end.user_message_id, end.message_id
        return await self._end(claim, end, orjson.dumps([*ids, end.processing_time]) if remember else b"", b"")

    async def _end(self, claim: Claim, end: End, off_path: bytes, owed: bytes) -> bool:
        tenant, job_id = claim.submission.tenant, claim.submission.job_id
        answer = await self._finish(
            [
                keys.job(tenant, job_id),
                keys.tokens(tenant, job_id),
                keys.RUNNING,
                keys.REPLY_QUEUE,
                keys.REMEMBER_QUEUE,
                keys.SPOOL,
            ],
            [
                tenant,
                job_id,
                claim.fence,
                end.seq,
                end.state,
                encode_event(end),
                self.limits.resume_window_seconds,
                self._pickup_ms,
                off_path,
                owed,
                keys.SPOOL_ENTRIES,
            ],
        )
        if answer == b"ILLEGAL":
            raise IllegalTransition(f"an end as {end.state}")
        return bool(answer == b"OK")

    async def release(self, claim: Claim) -> bool:
        tenant, job_id = claim.submission.tenant, claim.submission.job_id
        answer = await self._release(
            [keys.job(tenant, job_id), keys.RUNNING, keys.REPLY_QUEUE],
            [f"{tenant}/{job_id}", claim.fence, self._pickup_ms],
        )
        return bool(answer == b"OK")

    async def cancel(
        self,
        tenant: str,
        principal: str,
        job_id: str,
        *,
        heard_chars: int | None = None,
        attachment: int | None = None,
    ) -> str:
        status, *rest = await self._cancel(
            [keys.job(tenant, job_id), keys.RUNNING, keys.REPLY_QUEUE],
            [
                f"{tenant}/{job_id}",
                principal,
                self._lease_ms,
                keys.CANCEL_CHANNEL,
                "" if heard_chars is None else heard_chars,
                "" if attachment is None else attachment,
                uuid.uuid4().hex,
            ],
        )
        if status == b"GONE":
            raise StreamNotFound(job_id)
        if status in (b"TERMINAL", b"ATTACHED"):
            return str(rest[0].decode())
        if status == b"CANCELLING":
            return "cancelling"
        claim = _claim(rest)
        await self._end_unattended(claim, end_cancelled(claim, await self._shown(claim)))
        return "cancelled"

    async def _end_unattended(self, claim: Claim, end: End) -> None:
        """What was said stays said: the end and the rows it leaves behind are noted in one step."""
        heard = None if claim.verdict is None else claim.verdict.heard_chars
        if claim.verdict is None and end.state == JobState.CANCELLED and end.text:
            heard = await self.heard_chars(claim)
        await self._end(claim, end, b"", rows_of_unattended(claim, end, heard))

    async def heard_chars(self, claim: Claim) -> int | None:
        submission = claim.submission
        with broker_errors():
            stored = await cast(
                Awaitable[bytes | None], self._redis.hget(keys.job(submission.tenant, submission.job_id), "heard_chars")
            )
        return None if stored is None else int(stored)

    async def expire(self, tenant: str, principal: str, job_id: str) -> float:
        status, *rest = await self._expire(
            [keys.job(tenant, job_id), keys.RUNNING, keys.REPLY_QUEUE],
            [f"{tenant}/{job_id}", principal, self._lease_ms, LATE_MOMENT_MS, LATE_WORKER_MS, uuid.uuid4().hex],
        )
        if status == b"GONE":
            raise StreamNotFound(job_id)
        if status == b"EARLY":
            return int(rest[0]) / 1000
        if status == b"TAKEN":
            await self._give_up(_claim(rest), LATE)
        return 0.0

    async def accepted(
        self, tenant: str, principal: str, player_id: str, idempotency_keys: Sequence[str]
    ) -> list[Accepted | None]:
        if not idempotency_keys:
            return []
        with broker_errors():
            epoch, *found = await self._redis.mget(
                [keys.EPOCH, *(keys.idempotency(tenant, principal, player_id, key) for key in idempotency_keys)]
            )
        return [None if value is None else _stored(orjson.loads(value), (epoch or b"").decode()) for value in found]

    def _deadline_ms(self, submission: Submission) -> int:
        longest = int(self.limits.deadline_seconds * 1000)
        return longest if submission.deadline_ms is None else min(longest, submission.deadline_ms)

    async def reap(self, limit: int = 100) -> Reaped:
        requeued, taken, next_ms = await self._reap(
            [keys.RUNNING, keys.REPLY_QUEUE, keys.REAPED], [limit, self._pickup_ms, self._lease_ms, MAX_ATTEMPTS]
        )
        for reason, *rest in taken:
            try:
                await self._give_up(_claim(rest), reason.decode())
            except UNREADABLE:  # of another version, or damaged: the others must not wait for it
                log.exception("a job that cannot be read is left until it expires")
        return Reaped(requeued, len(taken), None if next_ms < 0 else next_ms / 1000)

    async def _give_up(self, claim: Claim, reason: str) -> None:
        lines = await self._canned_lines(claim) if reason == LATE else ()
        delta, end = end_given_up(claim, await self._shown(claim), reason, lines)
        if delta is not None:
            await self._bus.append([(claim, delta)])  # refused: so is the end
        await self._end_unattended(claim, end)

    async def _canned_lines(self, claim: Claim) -> Sequence[str]:
        """Of the persona as the workers last saw it."""
        with broker_errors():
            copy = await cast(
                Awaitable[bytes | None], self._redis.hget(keys.persona_shelf(claim.submission.tenant), claim.persona_id)
            )
        return () if copy is None else tuple(orjson.loads(copy).get("fallback_lines", ()))

    async def _shown(self, claim: Claim) -> str:
        if not claim.last_seq:
            return ""
        submission = claim.submission
        page = await self._bus.read(submission.tenant, submission.principal, submission.job_id, 0, claim.last_seq)
        return text_of(page.events)


def job_of(ticket: str) -> tuple[str, str]:
    """Tenant and id of the job an entry of the reply queue stands for: `tenant/job:number`."""
    tenant, _, rest = ticket.partition("/")
    return tenant, rest.rpartition(":")[0]


def _accepted(submission: Submission, answer: Sequence[str]) -> Accepted:
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


def _stored(fields: dict[str, str], epoch: str) -> Accepted:
    return Accepted(
        fields["job"], fields["message"], epoch, fields["persona_id"], fields["persona_name"], duplicate=True
    )


def _claim(answer: Sequence[Any]) -> Claim:
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
        verdict=_verdict(verdict) if verdict else None,
        sights={kind.decode(): orjson.loads(one) for kind, one in sorted(zip(seen[::2], seen[1::2], strict=True))},
    )


def _verdict(stored: bytes) -> Verdict:
    fields = orjson.loads(stored)
    return Verdict(cast(End, decode_event(fields["end"])), fields["heard_chars"])
