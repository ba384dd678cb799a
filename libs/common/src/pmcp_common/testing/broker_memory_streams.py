"""The streams of the broker in memory and the jobs they belong to: twin of `bus_redis`. `broker_memory` runs them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field

from pmcp_common.bus import Attachment, Position
from pmcp_common.contracts.errors import StreamNotFound
from pmcp_common.contracts.jobs import JobState, StreamEvent, StreamPage, Submission, Verdict, text_of


@dataclass(slots=True)
class Job:
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
    claimant: str | None = None
    released: int | None = None
    verdict: Verdict | None = None


class MemoryStreams:
    def __init__(self) -> None:
        self.epoch = "memory"
        self.is_restored = True
        """Set by a test: False while jobs that were lost may still come back."""
        self.given_up: set[tuple[str, str]] = set()
        self._jobs: dict[tuple[str, str], Job] = {}
        self._subscribers: dict[str, list[asyncio.Queue[Sequence[StreamEvent]]]] = defaultdict(list)
        self._cancel_hints: list[asyncio.Queue[tuple[str, str]]] = []

    @staticmethod
    def _shown(job: Job) -> str:
        return text_of(tuple(job.events))

    def _owned(self, tenant: str, principal: str, job_id: str) -> Job:
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

    async def give_up(self, tenant: str, stream_id: str, *, at_once: bool = False) -> bool:
        if (tenant, stream_id) in self._jobs or not (at_once or self.is_restored):
            return False
        self.given_up.add((tenant, stream_id))
        return True

    async def cancellations(self) -> AsyncGenerator[tuple[str, str] | None, None]:
        queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._cancel_hints.append(queue)
        try:
            yield None
            while True:
                yield await queue.get()
        finally:
            self._cancel_hints.remove(queue)
