"""The record of accepted jobs: what no gateway could write, what has ended, and what is made of it when Redis has lost
its data.

One process at a time keeps it, under a lease. Above it: `worker`. Below it: ports to Redis (what is to be recorded)
and to the memory service (the record). Rules: a job leaves the record only after it ended and its rows are stored; a
job of another epoch is queued again, under its own ids, so that a reply that was stored is not made a second time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

import orjson

from pmcp_common.bus import UNREADABLE
from pmcp_common.clock import Clock
from pmcp_common.contracts.accepted_jobs import MAX_JOBS, AcceptedJob, JobName
from pmcp_common.contracts.errors import DomainError, StreamNotFound
from pmcp_common.contracts.jobs import Submission
from pmcp_common.job_record import JobRecord, RecordMarks
from pmcp_common.queue import JobQueue
from pmcp_llm_worker import metrics

log = logging.getLogger(__name__)

STEP_SECONDS = 0.25
PAUSE_SECONDS = 2.0
MAX_AGE_SECONDS = 300.0
"""The queue's own limit for a reply: nobody waits for an older one."""
PAST_DEADLINE_SECONDS = 25.0
"""Past a client's own deadline: a gateway that hears nothing from Redis tells its client the end 30 s after it."""
FORGET_SECONDS = 1800.0
"""A row older than this is of a job whose end was never noted, whatever the reason: longer than Redis keeps a job."""
PURGE_SECONDS = 60.0
PARTING_SECONDS = 1.0
"""After a loss: until the workers have heard of it and have let go of the replies that are to begin anew."""
NEWEST_GENERATION = 2**31
"""The session's socket was accepted once; which one speaks for it now does not matter to its message."""
SUBMISSION_FIELDS = frozenset(field.name for field in fields(Submission))


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the record lacks. `epoch` names the life of the Redis data."""

    epoch: str
    accepted: Sequence[AcceptedJob]
    settled: Sequence[JobName]
    restored: bool
    """What was recorded in earlier epochs has been queued again."""


class JobBacklog(RecordMarks, Protocol):
    """Port to Redis. Raises Unavailable. Adapter: `job_ledger_redis`."""

    async def look(self, limit: int) -> Backlog | None:
        """None: another process keeps the record now."""
        ...

    async def forgotten(self, jobs: Sequence[JobName]) -> None:
        """These have left the record."""
        ...

    async def announce_loss(self) -> None:
        """Tells the workers to look whether the replies they write are still theirs. A hint."""
        ...

    async def restoring(self, epoch: str) -> None:
        """What was recorded in earlier epochs is looked for now."""
        ...

    async def restored(self, epoch: str) -> bool:
        """All of it is queued again: nothing that is missing now will come back. False: meanwhile a job of an earlier
        epoch was recorded, so that it has to be looked for once more."""
        ...


class JobLedger:
    def __init__(self, queue: JobQueue, backlog: JobBacklog, record: JobRecord, clock: Clock) -> None:
        self._queue = queue
        self._backlog = backlog
        self._record = record
        self._clock = clock
        self._loss: tuple[str, float] | None = None
        """The epoch in which jobs were found to be lost, and when."""
        self._purge_at = 0.0

    async def step(self) -> bool:
        """One pass; True when there may be more to do at once."""
        backlog = await self._backlog.look(MAX_JOBS)
        if backlog is None:
            return False
        if not backlog.restored:
            await self._restore(backlog.epoch)
        if backlog.accepted:
            await self._record.record(backlog.accepted)
            await self._backlog.recorded(backlog.epoch, backlog.accepted)
        if backlog.settled:
            await self._record.settle(backlog.settled)
            await self._backlog.forgotten(backlog.settled)
        await self._purge()
        return MAX_JOBS in (len(backlog.accepted), len(backlog.settled))

    async def _restore(self, epoch: str) -> None:
        """In a later pass: a reply must not begin anew while its old worker still writes it."""
        now = self._clock.monotonic()
        if (self._loss is None or self._loss[0] != epoch) and await self._record.lost(epoch, 1):
            await self._backlog.announce_loss()
            self._loss = (epoch, now)
        if self._loss is not None and self._loss[0] == epoch and now - self._loss[1] < PARTING_SECONDS:
            return
        await self._backlog.restoring(epoch)
        await self._queue_lost(epoch)
        await self._backlog.restored(epoch)

    async def _purge(self) -> None:
        """A crash between an end and its note, a lost answer: nothing may stay in the record for ever."""
        now = self._clock.monotonic()
        if now < self._purge_at:
            return
        gone = await self._record.purge(int((self._clock.now().timestamp() - FORGET_SECONDS) * 1000))
        self._purge_at = now + PURGE_SECONDS
        if gone:
            log.warning("accepted jobs whose end was never noted left the record", extra={"jobs": gone})

    async def _queue_lost(self, epoch: str) -> None:
        while lost := await self._record.lost(epoch, MAX_JOBS):
            queued = [job for job in lost if await self._queue_again(job)]
            done = [job for job in lost if job not in queued]
            await self._record.record([job.model_copy(update={"epoch": epoch}) for job in queued])
            await self._backlog.recorded(epoch, queued)
            await self._record.settle([JobName(tenant=job.tenant, job_id=job.job_id) for job in done])
            log.warning("jobs lost with the data of Redis", extra={"queued_again": len(queued), "dropped": len(done)})

    async def _queue_again(self, job: AcceptedJob) -> bool:
        """False: nothing is owed any more. Raises what may pass, such as a full queue."""
        age = self._clock.now().timestamp() - job.accepted_at_ms / 1000
        if age > MAX_AGE_SECONDS:
            return False
        try:
            stored = {name: value for name, value in orjson.loads(job.submission).items() if name in SUBMISSION_FIELDS}
            submission = replace(Submission(**stored), requeued=True, session_gen=NEWEST_GENERATION)
        except UNREADABLE:
            log.exception("recorded job cannot be read", extra={"job": job.job_id})
            return False
        if submission.deadline_ms is not None and age > submission.deadline_ms / 1000 + PAST_DEADLINE_SECONDS:
            return False
        try:
            accepted = await self._queue.submit(submission)
        except StreamNotFound:
            log.warning("lost job not queued again: its client was told so", extra={"job": job.job_id})
            return False
        except DomainError as error:
            if error.retryable:
                raise
            log.error("lost job not queued again", extra={"job": job.job_id, "code": error.code})
            return False
        if not accepted.duplicate:  # its client sent it again under the same key
            metrics.REQUEUED.inc()
        return not accepted.duplicate

    async def keep(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        while True:
            try:
                more = await self.step()
            except DomainError as error:
                log.warning("record of accepted jobs waits", extra={"code": error.code})
                await sleep(PAUSE_SECONDS)
                continue
            if not more:
                await sleep(STEP_SECONDS)
