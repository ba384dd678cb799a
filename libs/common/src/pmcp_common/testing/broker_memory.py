"""The broker in memory: twin of `queue_arq` + `bus_redis` for tests, under the same contract tests.

One event loop, no expiry, time injected. It runs `contracts.jobs.TRANSITIONS` for every change of state.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from pmcp_common.clock import Clock, SystemClock
from pmcp_common.contracts import keys
from pmcp_common.contracts.ends import LATE, LOST, end_cancelled, end_given_up
from pmcp_common.contracts.errors import (
    IdempotencyConflict,
    NoActivePersona,
    SessionReplaced,
    StreamNotFound,
    TooManyRequests,
)
from pmcp_common.contracts.jobs import (
    FINISH_EVENTS,
    MAX_ATTEMPTS,
    TERMINAL_STATES,
    TRANSITIONS,
    Accepted,
    AppendResult,
    Claim,
    ClaimRefusal,
    Declared,
    Delta,
    End,
    JobEvent,
    JobState,
    Submission,
    Verdict,
    advance,
)
from pmcp_common.queue import Reaped
from pmcp_common.testing.broker_memory_streams import Job, MemoryStreams
from pmcp_common.turn_rows import has_effects

LATE_MOMENT_SECONDS = 0.15
LATE_WORKER_SECONDS = 15.0


class MemoryBroker(MemoryStreams):
    """`JobQueue` and `StreamBus` in one object. `take_ticket` and `remembered` stand for the workers' side."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        lease_seconds: float = 10.0,
        deadline_seconds: float = 300.0,
        max_queue: int = 2000,
        max_conversation: int = 16,
    ) -> None:
        super().__init__()
        self._clock = clock or SystemClock()
        self._lease_seconds, self._deadline_seconds = lease_seconds, deadline_seconds
        self._max_queue, self._max_conversation = max_queue, max_conversation
        self.sessions: dict[tuple[str, str], tuple[str, str]] = {}
        self.generations: dict[tuple[str, str], int] = {}
        """Of sessions that were opened or resumed; set by a test."""
        self.fallback_lines: dict[str, tuple[str, ...]] = {}
        """Of personas, as the workers saw them; set by a test."""
        self.sights: dict[tuple[str, str], dict[str, object]] = {}
        self.others_owed = False
        """Set by a test: rows of other replies wait for the memory service."""
        self.remembered: list[tuple[str, str]] = []
        self._idempotent: dict[tuple[str, str, str, str], tuple[str, Accepted]] = {}
        self._lines: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._waiting: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue()

    def set_persona(self, tenant: str, session_id: str, persona_id: str, persona_name: str) -> None:
        self.sessions[tenant, session_id] = (persona_id, persona_name)

    async def take_ticket(self) -> tuple[str, str, str]:
        """The next job in line, as arq would start it: tenant, job id, ticket."""
        return await self._waiting.get()

    async def submit(self, submission: Submission) -> Accepted:
        tenant, job_id = submission.tenant, submission.job_id
        if self.generations.get((tenant, submission.session_id), 0) > submission.session_gen:
            raise SessionReplaced
        if submission.requeued and (tenant, job_id) in self.given_up:
            raise StreamNotFound(job_id)
        key = (tenant, submission.principal, submission.player_id, submission.idempotency_key or "")
        if submission.idempotency_key is not None and key in self._idempotent:
            body_hash, first = self._idempotent[key]
            if first.stream_id == job_id:
                return first
            if body_hash != submission.body_hash:
                raise IdempotencyConflict("This idempotency key was used with another message")
            return self._attach_again(tenant, first, submission.gateway_id)
        persona_id, persona_name = self._persona_of(submission)
        if (tenant, job_id) not in self._jobs:
            self._store(submission, persona_id, persona_name)
        accepted = Accepted(job_id, submission.message_id, self.epoch, persona_id, persona_name)
        if submission.idempotency_key is not None:
            self._idempotent[key] = (submission.body_hash, accepted)
        return accepted

    def _attach_again(self, tenant: str, first: Accepted, gateway_id: str) -> Accepted:
        job = self._jobs[tenant, first.stream_id]
        job.gateway_id = gateway_id
        job.attachment += 1
        return replace(first, duplicate=True, attachment=job.attachment)

    async def accepted(
        self, tenant: str, principal: str, player_id: str, idempotency_keys: Sequence[str]
    ) -> list[Accepted | None]:
        found = (self._idempotent.get((tenant, principal, player_id, key)) for key in idempotency_keys)
        return [None if entry is None else replace(entry[1], duplicate=True) for entry in found]

    def _persona_of(self, submission: Submission) -> tuple[str, str]:
        if submission.persona_id is not None:
            return submission.persona_id, submission.persona_name or ""
        session = self.sessions.get((submission.tenant, submission.session_id))
        if session is None:
            raise NoActivePersona
        return session

    def _store(self, submission: Submission, persona_id: str, persona_name: str) -> None:
        bounded = not submission.requeued
        if bounded and self._waiting.qsize() >= self._max_queue:
            raise TooManyRequests("Too many messages wait for a worker", retry_after=1.0)
        tenant = submission.tenant
        conversation = keys.conversation_id(tenant, persona_id, submission.player_id)
        line = self._lines[tenant, conversation]
        if bounded and len(line) >= self._max_conversation:
            raise TooManyRequests("Too many messages wait in this conversation", retry_after=1.0)
        now = self._clock.monotonic()
        allowed = self._deadline_seconds
        if submission.deadline_ms is not None:
            allowed = min(allowed, submission.deadline_ms / 1000)
        job = Job(submission, persona_id, persona_name, conversation, now, now + allowed)
        job.gateway_id = submission.gateway_id
        self._jobs[tenant, submission.job_id] = job
        line.append(submission.job_id)
        if len(line) == 1:
            self._enqueue(job)

    def _enqueue(self, job: Job) -> None:
        job.tickets += 1
        job.lease = self._clock.monotonic() + self._lease_seconds
        submission = job.submission
        self._waiting.put_nowait((submission.tenant, submission.job_id, f"{submission.job_id}:{job.tickets}"))

    async def claim(
        self, tenant: str, job_id: str, ticket: str = "", claimant: str | None = None
    ) -> Claim | ClaimRefusal:
        job = self._jobs.get((tenant, job_id))
        if job is None:
            return ClaimRefusal.GONE
        if job.state in TERMINAL_STATES:
            return ClaimRefusal.TERMINAL
        if claimant is not None and claimant == job.claimant and job.state != JobState.QUEUED:
            return self._claim_of(job)
        if job.state != JobState.QUEUED or (ticket and ticket != f"{job_id}:{job.tickets}"):
            return ClaimRefusal.HELD
        job.attempts += 1
        claim = self._take(job, claimant)
        if job.attempts - job.handed_back > MAX_ATTEMPTS:
            await self._give_up(claim, LOST)
            return ClaimRefusal.EXHAUSTED
        return claim

    def _take(self, job: Job, claimant: str | None = None) -> Claim:
        if job.state != JobState.QUEUED:
            job.state = advance(job.state, JobEvent.LEASE_LOST)
        job.state = advance(job.state, JobEvent.CLAIM_WHOLE if job.verdict else JobEvent.CLAIM)
        job.fence += 1
        job.claimant = claimant
        job.lease = self._clock.monotonic() + self._lease_seconds
        return self._claim_of(job)

    def _claim_of(self, job: Job) -> Claim:
        return Claim(
            submission=replace(job.submission, persona_name=job.persona_name),
            persona_id=job.persona_id,
            fence=job.fence,
            attempt=job.attempts,
            last_seq=len(job.events),
            cancelled=job.cancel,
            queued_ms=(self._clock.monotonic() - job.submitted) * 1000,
            handed_back=job.handed_back,
            verdict=job.verdict,
            sights=self.sights.get((job.submission.tenant, job.submission.session_id), {}),
        )

    def _held(self, claim: Claim) -> Job | AppendResult:
        job = self._jobs.get((claim.submission.tenant, claim.submission.job_id))
        if job is None:
            return AppendResult.GONE
        if job.state in TERMINAL_STATES:
            return AppendResult.TERMINAL
        return job if job.fence == claim.fence else AppendResult.FENCED

    async def renew(self, claim: Claim) -> AppendResult:
        job = self._held(claim)
        if isinstance(job, AppendResult):
            return job
        if (job.state, JobEvent.LEASE_LOST) not in TRANSITIONS:
            return AppendResult.ILLEGAL
        job.lease = self._clock.monotonic() + self._lease_seconds
        return AppendResult.CANCEL if job.cancel else AppendResult.OK

    async def declare(self, claim: Claim, verdict: Verdict) -> Declared:
        job = self._held(claim)
        if isinstance(job, AppendResult):
            return Declared(job)
        if (job.state, JobEvent.COMMIT) not in TRANSITIONS:
            return Declared(AppendResult.ILLEGAL)
        job.state = advance(job.state, JobEvent.COMMIT)
        job.verdict = job.verdict or verdict
        job.lease = self._clock.monotonic() + self._lease_seconds
        return Declared(AppendResult.OK, self.others_owed)

    async def append(self, batch: Sequence[tuple[Claim, Delta]]) -> list[AppendResult]:
        results, live = [], defaultdict(list)
        for claim, delta in batch:
            result, gateway_id = self._append_one(claim, delta)
            results.append(result)
            if gateway_id is not None:
                live[gateway_id].append(delta)
        for gateway_id, events in live.items():
            self._publish(gateway_id, events)
        return results

    def _append_one(self, claim: Claim, delta: Delta) -> tuple[AppendResult, str | None]:
        job = self._held(claim)
        if isinstance(job, AppendResult):
            return job, None
        if delta.seq != len(job.events) + 1:
            again = AppendResult.CANCEL if job.cancel and delta.seq == len(job.events) else AppendResult.DUP
            return (again if delta.seq <= len(job.events) else AppendResult.GAP), None
        if (job.state, JobEvent.APPEND) not in TRANSITIONS:
            return AppendResult.ILLEGAL, None
        job.state = advance(job.state, JobEvent.APPEND)
        job.events.append(delta)
        job.lease = self._clock.monotonic() + self._lease_seconds
        return (AppendResult.CANCEL if job.cancel else AppendResult.OK), job.gateway_id

    async def finish(self, claim: Claim, end: End, *, remember: bool) -> bool:
        job = self._held(claim)
        if job is AppendResult.TERMINAL:  # perhaps by this very end, whose answer was lost
            job = self._jobs[claim.submission.tenant, claim.submission.job_id]
            return (job.state.value, job.fence, len(job.events)) == (end.state, claim.fence, end.seq)
        if isinstance(job, AppendResult) or end.seq != len(job.events) + 1:
            return False
        job.state = advance(job.state, FINISH_EVENTS[JobState(end.state)])
        job.events.append(end)
        job.lease = job.verdict = None
        self._next_turn(job)
        if remember:
            self.remembered.append((end.user_message_id, end.message_id))
        self._publish(job.gateway_id, [end])
        return True

    def _next_turn(self, job: Job) -> None:
        tenant = job.submission.tenant
        line = self._lines[tenant, job.conversation]
        was_head = bool(line) and line[0] == job.submission.job_id
        line.remove(job.submission.job_id)
        if was_head and line:
            self._enqueue(self._jobs[tenant, line[0]])

    async def cancel(
        self,
        tenant: str,
        principal: str,
        job_id: str,
        *,
        heard_chars: int | None = None,
        attachment: int | None = None,
    ) -> str:
        job = self._owned(tenant, principal, job_id)
        if job.state in TERMINAL_STATES or attachment not in (None, job.attachment):
            return job.state.value
        job.cancel = True
        if job.heard_chars is None:
            job.heard_chars = heard_chars
        if job.state != JobState.QUEUED or job.verdict:
            for queue in self._cancel_hints:
                queue.put_nowait((tenant, job_id))
            return "cancelling"
        claim = self._take(job)
        await self.finish(claim, end_cancelled(claim, self._shown(job)), remember=False)
        return "cancelled"

    async def heard_chars(self, claim: Claim) -> int | None:
        return self._jobs[claim.submission.tenant, claim.submission.job_id].heard_chars

    async def expire(self, tenant: str, principal: str, job_id: str) -> float:
        job, now = self._owned(tenant, principal, job_id), self._clock.monotonic()
        if job.state in TERMINAL_STATES:
            return 0.0
        held = job.state != JobState.QUEUED and job.lease is not None and job.lease > now
        moment = LATE_WORKER_SECONDS if job.submission.deadline_ms is None else LATE_MOMENT_SECONDS
        due = job.deadline + (LATE_WORKER_SECONDS if job.verdict else moment if held else 0.0)
        if due > now:
            return due - now
        await self._give_up(self._take(job), LATE)
        return 0.0

    async def release(self, claim: Claim) -> bool:
        job = self._held(claim)
        stored = self._jobs.get((claim.submission.tenant, claim.submission.job_id))
        if stored is not None and stored.released == claim.fence and stored.state not in TERMINAL_STATES:
            return True
        if isinstance(job, AppendResult) or (job.state, JobEvent.HAND_BACK) not in TRANSITIONS:
            return False
        job.state = advance(job.state, JobEvent.HAND_BACK)
        job.released = job.fence
        job.fence += 1
        job.handed_back += 1
        self._enqueue(job)
        return True

    async def reap(self) -> Reaped:
        now = self._clock.monotonic()
        requeued = ended = 0
        for job in list(self._jobs.values()):
            looked_at = job.deadline if job.lease is None else min(job.lease, job.deadline)
            if job.state in TERMINAL_STATES or looked_at > now:
                continue
            late = job.deadline <= now and not job.verdict and (job.state == JobState.QUEUED or _due(job.lease, now))
            if late or (_due(job.lease, now) and job.attempts - job.handed_back >= MAX_ATTEMPTS):
                await self._give_up(self._take(job), LATE if late else LOST)
                ended += 1
            elif _due(job.lease, now) and job.state != JobState.QUEUED:
                job.state = advance(job.state, JobEvent.LEASE_LOST)
                job.fence += 1
                self._enqueue(job)
                requeued += 1
        return Reaped(requeued, ended)

    async def _give_up(self, claim: Claim, reason: str) -> None:
        job = self._jobs[claim.submission.tenant, claim.submission.job_id]
        lines = self.fallback_lines.get(claim.persona_id, ())
        delta, end = end_given_up(claim, self._shown(job), reason, lines)
        if delta is not None:
            await self.append([(claim, delta)])
        await self.finish(claim, end, remember=bool(end.text) and has_effects(end))


def _due(lease: float | None, now: float) -> bool:
    return lease is not None and lease <= now
