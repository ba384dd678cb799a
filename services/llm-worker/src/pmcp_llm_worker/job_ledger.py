"""The record of accepted jobs, kept off the reply path; and what is made of it when Redis has lost its data.

One process at a time keeps it, under a lease. Above it: `worker`. Below it: ports to Redis (what is to be recorded)
and to the memory service (the record). Rules: a job leaves the record only after it ended; a job of another epoch is
queued again, under its own ids, so that a reply that was stored is not made a second time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

import orjson

from pmcp_common.clock import Clock
from pmcp_common.contracts.accepted_jobs import MAX_JOBS, AcceptedJob, JobName
from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.jobs import Submission
from pmcp_common.queue import JobQueue
from pmcp_llm_worker import metrics

log = logging.getLogger(__name__)

STEP_SECONDS = 0.25
"""So long an accepted job may be without a record."""
PAUSE_SECONDS = 2.0
MAX_AGE_SECONDS = 300.0
"""The queue's own limit for a reply: nobody waits for an older one."""
NEWEST_GENERATION = 2**31
"""The session's socket was accepted once; which one speaks for it now does not matter to its message."""
SUBMISSION_FIELDS = frozenset(field.name for field in fields(Submission))


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the record lacks. `epoch` names the life of the Redis data."""

    epoch: str
    accepted: Sequence[AcceptedJob]
    settled: Sequence[JobName]


class JobBacklog(Protocol):
    """Port to Redis. Raises Unavailable. Adapter: `job_ledger_redis`."""

    async def look(self, limit: int) -> Backlog | None:
        """None: another process keeps the record now."""
        ...

    async def recorded(self, jobs: Sequence[JobName]) -> None: ...

    async def forgotten(self, jobs: Sequence[JobName]) -> None:
        """These have left the record."""
        ...


class JobRecord(Protocol):
    """Port to the record. Raises Unavailable. Adapter: `job_ledger_http`."""

    async def record(self, jobs: Sequence[AcceptedJob]) -> None: ...

    async def settle(self, jobs: Sequence[JobName]) -> None: ...

    async def lost(self, epoch: str, limit: int) -> Sequence[AcceptedJob]:
        """Those of other epochs, oldest first."""
        ...


class JobLedger:
    def __init__(self, queue: JobQueue, backlog: JobBacklog, record: JobRecord, clock: Clock) -> None:
        self._queue = queue
        self._backlog = backlog
        self._record = record
        self._clock = clock
        self._epoch = ""

    async def step(self) -> bool:
        """One pass; True when there may be more to do at once."""
        backlog = await self._backlog.look(MAX_JOBS)
        if backlog is None:
            return False
        if backlog.epoch != self._epoch:
            await self._queue_lost(backlog.epoch)
            self._epoch = backlog.epoch
        if backlog.accepted:
            await self._record.record(backlog.accepted)
            await self._backlog.recorded(backlog.accepted)
        if backlog.settled:
            await self._record.settle(backlog.settled)
            await self._backlog.forgotten(backlog.settled)
        return MAX_JOBS in (len(backlog.accepted), len(backlog.settled))

    async def _queue_lost(self, epoch: str) -> None:
        while lost := await self._record.lost(epoch, MAX_JOBS):
            queued = [job for job in lost if await self._queue_again(job)]
            done = [job for job in lost if job not in queued]
            await self._record.record([job.model_copy(update={"epoch": epoch}) for job in queued])
            await self._record.settle([JobName(tenant=job.tenant, job_id=job.job_id) for job in done])
            log.warning("jobs lost with the data of Redis", extra={"queued_again": len(queued), "dropped": len(done)})

    async def _queue_again(self, job: AcceptedJob) -> bool:
        """False: nothing is owed any more. Raises what may pass, such as a full queue."""
        if self._clock.now().timestamp() - job.accepted_at_ms / 1000 > MAX_AGE_SECONDS:
            return False
        stored = {name: value for name, value in orjson.loads(job.submission).items() if name in SUBMISSION_FIELDS}
        submission = replace(Submission(**stored), requeued=True, session_gen=NEWEST_GENERATION)
        try:
            accepted = await self._queue.submit(submission)
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
