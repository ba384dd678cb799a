"""The broker in memory: twin of `queue_arq` + `bus_redis` for tests, under the same contract tests.

One event loop, no expiry, time injected. It runs `contracts.jobs.TRANSITIONS` for every change of state.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from pmcp_common.bus import Attachment, Position
from pmcp_common.clock import Clock, SystemClock
from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import (
    DEADLINE_EXCEEDED,
    LLM_ERROR,
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
    Delta,
    End,
    JobEvent,
    JobState,
    StreamEvent,
    StreamPage,
    Submission,
    advance,
    end_without_model,
    text_of,
)
from pmcp_common.queue import Reaped

LATE_WORKER_SECONDS = 15.0


@dataclass(slots=True)
class _Job:
    submission: Submission
    persona_id: str
    persona_name: str
    conversation: str
    submitted: float
    deadline: float
    state: JobState = JobState.QUEUED
    fence: int = 0
    attempts: int = 0
    handed_back: int = 0
    cancel: bool = False
    lease: float | None = None
    tickets: int = 0
    events: list[StreamEvent] = field(default_factory=list)
    gateway_id: str = ""
    attachment: int = 0
    heard_chars: int | None = None


class MemoryBroker:
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
        self._clock = clock or SystemClock()
        self._lease_seconds, self._deadline_seconds = lease_seconds, deadline_seconds
        self._max_queue, self._max_conversation = max_queue, max_conversation
        self.epoch = "memory"
        self.sessions: dict[tuple[str, str], tuple[str, str]] = {}
        self.generations: dict[tuple[str, str], int] = {}
        """Of sessions that were opened or resumed; set by a test."""
        self.remembered: list[tuple[str, str]] = []
        self._jobs: dict[tuple[str, str], _Job] = {}
        self._idempotent: dict[tuple[str, str, str, str], tuple[str, Accepted]] = {}
        self._lines: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._waiting: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue()
        self._subscribers: dict[str, list[asyncio.Queue[Sequence[StreamEvent]]]] = defaultdict(list)
        self._cancel_hints: list[asyncio.Queue[tuple[str, str]]] = []

    def set_persona(self, tenant: str, session_id: str, persona_id: str, persona_name: str) -> None:
        self.sessions[tenant, session_id] = (persona_id, persona_name)

    async def take_ticket(self) -> tuple[str, str, str]:
        """The next job in line, as arq would start it: tenant, job id, ticket."""
        return await self._waiting.get()

    async def submit(self, submission: Submission) -> Accepted:
        tenant, job_id = submission.tenant, submission.job_id
        if self.generations.get((tenant, submission.session_id), 0) > submission.session_gen:
            raise SessionReplaced
        key = (tenant, submission.principal, submission.player_id, submission.idempotency_key or "")
        if submission.idempotency_key is not None and key in self._idempotent:
            body_hash, first = self._idempotent[key]
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
        if self._waiting.qsize() >= self._max_queue:
            raise TooManyRequests("Too many messages wait for a worker", retry_after=1.0)
        tenant = submission.tenant
        conversation = keys.conversation_id(tenant, persona_id, submission.player_id)
        line = self._lines[tenant, conversation]
        if len(line) >= self._max_conversation:
            raise TooManyRequests("Too many messages wait in this conversation", retry_after=1.0)
        now = self._clock.monotonic()
        allowed = self._deadline_seconds
        if submission.deadline_ms is not None:
            allowed = min(allowed, submission.deadline_ms / 1000)
        job = _Job(submission, persona_id, persona_name, conversation, now, now + allowed)
        job.gateway_id = submission.gateway_id
        self._jobs[tenant, submission.job_id] = job
        line.append(submission.job_id)
        if len(line) == 1:
            self._enqueue(job)

    def _enqueue(self, job: _Job) -> None:
        job.tickets += 1
        job.lease = self._clock.monotonic() + self._lease_seconds
        submission = job.submission
        self._waiting.put_nowait((submission.tenant, submission.job_id, f"{submission.job_id}:{job.tickets}"))

    async def claim(self, tenant: str, job_id: str, ticket: str = "") -> Claim | ClaimRefusal:
        job = self._jobs.get((tenant, job_id))
        if job is None:
            return ClaimRefusal.GONE
        if job.state in TERMINAL_STATES:
            return ClaimRefusal.TERMINAL
        if job.state != JobState.QUEUED or (ticket and ticket != f"{job_id}:{job.tickets}"):
            return ClaimRefusal.HELD
        job.attempts += 1
        claim = self._take(job)
        if job.attempts - job.handed_back > MAX_ATTEMPTS:
            await self._give_up(claim, "worker_lost")
            return ClaimRefusal.EXHAUSTED
        return claim

    def _take(self, job: _Job) -> Claim:
        if job.state != JobState.QUEUED:
            job.state = advance(job.state, JobEvent.LEASE_LOST)
        job.state = advance(job.state, JobEvent.CLAIM)
        job.fence += 1
        job.lease = self._clock.monotonic() + self._lease_seconds
        return Claim(
            submission=replace(job.submission, persona_name=job.persona_name),
            persona_id=job.persona_id,
            fence=job.fence,
            attempt=job.attempts,
            last_seq=len(job.events),
            cancelled=job.cancel,
            queued_ms=(self._clock.monotonic() - job.submitted) * 1000,
            handed_back=job.handed_back,
        )

    def _held(self, claim: Claim) -> _Job | AppendResult:
        job = self._jobs.get((claim.submission.tenant, claim.submission.job_id))
        if job is None:
            return AppendResult.GONE
        if job.state in TERMINAL_STATES:
            return AppendResult.TERMINAL
        return job if job.fence == claim.fence else AppendResult.FENCED

    async def renew(self, claim: Claim, *, committing: bool = False) -> AppendResult:
        job = self._held(claim)
        if isinstance(job, AppendResult):
            return job
        if (job.state, JobEvent.LEASE_LOST) not in TRANSITIONS:
            return AppendResult.ILLEGAL
        if committing and job.state != JobState.COMMITTING:
            if (job.state, JobEvent.COMMIT) not in TRANSITIONS:
                return AppendResult.ILLEGAL
            job.state = advance(job.state, JobEvent.COMMIT)
        job.lease = self._clock.monotonic() + self._lease_seconds
        return AppendResult.CANCEL if job.cancel else AppendResult.OK

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
            return (AppendResult.DUP if delta.seq <= len(job.events) else AppendResult.GAP), None
        if (job.state, JobEvent.APPEND) not in TRANSITIONS:
            return AppendResult.ILLEGAL, None
        job.state = advance(job.state, JobEvent.APPEND)
        job.events.append(delta)
        job.lease = self._clock.monotonic() + self._lease_seconds
        return (AppendResult.CANCEL if job.cancel else AppendResult.OK), job.gateway_id

    async def finish(self, claim: Claim, end: End, *, remember: bool) -> bool:
        job = self._held(claim)
        if isinstance(job, AppendResult) or end.seq != len(job.events) + 1:
            return False
        job.state = advance(job.state, FINISH_EVENTS[JobState(end.state)])
        job.events.append(end)
        job.lease = None
        self._next_turn(job)
        if remember:
            self.remembered.append((end.user_message_id, end.message_id))
        self._publish(job.gateway_id, [end])
        return True

    def _next_turn(self, job: _Job) -> None:
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
        if job.state != JobState.QUEUED:
            for queue in self._cancel_hints:
                queue.put_nowait((tenant, job_id))
            return "cancelling"
        claim = self._take(job)
        end = end_without_model(claim, self._shown(job), state=JobState.CANCELLED, finish_reason="cancelled")
        await self.finish(claim, end, remember=False)
        return "cancelled"

    async def heard_chars(self, claim: Claim) -> int | None:
        return self._jobs[claim.submission.tenant, claim.submission.job_id].heard_chars

    async def expire(self, tenant: str, principal: str, job_id: str) -> float:
        job, now = self._owned(tenant, principal, job_id), self._clock.monotonic()
        if job.state in TERMINAL_STATES:
            return 0.0
        held = job.state != JobState.QUEUED and job.lease is not None and job.lease > now
        due = job.deadline + (LATE_WORKER_SECONDS if held else 0.0)
        if due > now:
            return due - now
        await self._give_up(self._take(job), "deadline")
        return 0.0

    async def release(self, claim: Claim) -> bool:
        job = self._held(claim)
        if isinstance(job, AppendResult) or (job.state, JobEvent.HAND_BACK) not in TRANSITIONS:
            return False
        job.state = advance(job.state, JobEvent.HAND_BACK)
        job.fence += 1
        job.handed_back += 1
        self._enqueue(job)
        return True

    async def reap(self) -> Reaped:
        now = self._clock.monotonic()
        requeued = failed = 0
        for job in list(self._jobs.values()):
            if job.lease is None or job.lease > now:
                continue
            if job.deadline <= now or job.attempts - job.handed_back >= MAX_ATTEMPTS:
                reason = "deadline" if job.deadline <= now else "worker_lost"
                await self._give_up(self._take(job), reason)
                failed += 1
            elif job.state != JobState.QUEUED:
                job.state = advance(job.state, JobEvent.LEASE_LOST)
                job.fence += 1
                self._enqueue(job)
                requeued += 1
        return Reaped(requeued, failed)

    async def _give_up(self, claim: Claim, reason: str) -> None:
        job = self._jobs[claim.submission.tenant, claim.submission.job_id]
        error = {
            "deadline": (DEADLINE_EXCEEDED.code, "The reply did not come in time"),
            "worker_lost": (LLM_ERROR.code, "The reply could not be finished: its workers were lost"),
        }[reason]
        text = self._shown(job)
        end = end_without_model(claim, text, state=JobState.FAILED, finish_reason=reason, error=error)
        await self.finish(claim, end, remember=False)

    @staticmethod
    def _shown(job: _Job) -> str:
        return text_of(tuple(job.events))

    def _owned(self, tenant: str, principal: str, job_id: str) -> _Job:
        job = self._jobs.get((tenant, job_id))
        if job is None or job.submission.principal != principal:
            raise StreamNotFound(job_id)
        return job

    async def attach(
        self, tenant: str, principal: str, gateway_id: str, positions: Sequence[Position]
    ) -> list[Attachment]:
        return [self._attach(tenant, principal, gateway_id, position) for position in positions]

    def _attach(self, tenant: str, principal: str, gateway_id: str, position: Position) -> Attachment:
        job = self._jobs.get((tenant, position.stream_id))
        if position.epoch != self.epoch:
            return Attachment(self.epoch, reason="epoch_changed")
        if job is None or job.submission.principal != principal:
            return Attachment(self.epoch, reason="not_resumable")
        if position.last_seq > len(job.events):
            return Attachment(self.epoch, reason="ahead")
        job.gateway_id = gateway_id
        job.attachment += 1
        return Attachment(self.epoch, job.state, len(job.events), job.attachment, job.submission.on_interrupt)

    async def read(self, tenant: str, principal: str, stream_id: str, after_seq: int, limit: int = 1000) -> StreamPage:
        job = self._owned(tenant, principal, stream_id)
        events = tuple(job.events[after_seq : after_seq + limit])
        return StreamPage(events, job.state, self.epoch, len(job.events))

    def _publish(self, gateway_id: str, events: Sequence[StreamEvent]) -> None:
        for queue in self._subscribers[gateway_id]:
            queue.put_nowait(list(events))

    async def subscribe(self, gateway_id: str) -> AsyncIterator[Sequence[StreamEvent]]:
        queue: asyncio.Queue[Sequence[StreamEvent]] = asyncio.Queue()
        self._subscribers[gateway_id].append(queue)
        try:
            yield []
            while True:
                yield await queue.get()
        finally:
            self._subscribers[gateway_id].remove(queue)

    async def cancellations(self) -> AsyncIterator[tuple[str, str]]:
        queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._cancel_hints.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._cancel_hints.remove(queue)
