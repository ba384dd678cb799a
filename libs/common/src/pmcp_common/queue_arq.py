"""`JobQueue` on Redis: every step is one script of `lua/`, so that no crash can leave a step half done.

The scripts write arq's queue ZSET, and for off-path jobs its payload (arq 0.28 pinned); `worker_arq` is the other side.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import cast

import orjson

from pmcp_common.bus import UNREADABLE
from pmcp_common.bus_redis import RedisStreamBus, encode_event
from pmcp_common.clock import Clock, SystemClock
from pmcp_common.contracts import keys
from pmcp_common.contracts.ends import LATE, LOST, end_cancelled, end_given_up
from pmcp_common.contracts.errors import StreamNotFound
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
from pmcp_common.queue_answers import accepted_of, claim_of, stored_of
from pmcp_common.redis_link import BytesRedis, Script, broker_errors
from pmcp_common.turn_rows import has_effects, rows_of_unattended

log = logging.getLogger(__name__)

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
    def __init__(
        self,
        redis: BytesRedis,
        bus: RedisStreamBus,
        limits: QueueLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`clock`: of the rows this process leaves behind; the system's otherwise."""
        self.limits = limits or QueueLimits()
        self._clock = clock or SystemClock()
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
        accepted = accepted_of(submission, [part.decode() for part in answer])
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
            return claim_of(rest)
        if status == b"EXHAUSTED":
            await self._give_up(claim_of(rest), LOST)
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
            [keys.job(tenant, job_id), keys.RUNNING, keys.SPOOL_OWED],
            [f"{tenant}/{job_id}", claim.fence, self._lease_ms, orjson.dumps(verdict), tenant],
        )
        return Declared(AppendResult(answer.decode()), bool(owed))

    async def finish(self, claim: Claim, end: End, *, remember: bool) -> bool:
        return await self._end(claim, end, b"", remember=remember)

    async def _end(self, claim: Claim, end: End, owed: bytes, *, remember: bool) -> bool:
        tenant, job_id = claim.submission.tenant, claim.submission.job_id
        off_path = [tenant, job_id, end.user_message_id, end.message_id, end.processing_time]
        answer = await self._finish(
            [
                keys.job(tenant, job_id),
                keys.tokens(tenant, job_id),
                keys.RUNNING,
                keys.REPLY_QUEUE,
                keys.REMEMBER_QUEUE,
                keys.SPOOL,
                keys.SPOOL_OWED,
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
                orjson.dumps(off_path) if remember else b"",
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
        claim = claim_of(rest)
        await self._end_unattended(claim, end_cancelled(claim, await self._shown(claim)))
        return "cancelled"

    async def _end_unattended(self, claim: Claim, end: End) -> None:
        """What was said stays said: the end and the rows it leaves behind are noted in one step."""
        heard = None if claim.verdict is None else claim.verdict.heard_chars
        if claim.verdict is None and end.state == JobState.CANCELLED and end.text:
            heard = await self.heard_chars(claim)
        owed = rows_of_unattended(claim, end, heard, self._clock.now())
        await self._end(claim, end, owed, remember=bool(owed) and has_effects(end))

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
            await self._give_up(claim_of(rest), LATE)
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
        return [None if value is None else stored_of(orjson.loads(value), (epoch or b"").decode()) for value in found]

    def _deadline_ms(self, submission: Submission) -> int:
        longest = int(self.limits.deadline_seconds * 1000)
        return longest if submission.deadline_ms is None else min(longest, submission.deadline_ms)

    async def reap(self, limit: int = 100) -> Reaped:
        requeued, taken, next_ms = await self._reap(
            [keys.RUNNING, keys.REPLY_QUEUE, keys.REAPED], [limit, self._pickup_ms, self._lease_ms, MAX_ATTEMPTS]
        )
        for reason, *rest in taken:
            try:
                await self._give_up(claim_of(rest), reason.decode())
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
