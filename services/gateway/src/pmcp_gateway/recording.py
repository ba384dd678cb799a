"""Accepted jobs on their way into the record, beside the reply path: what is recorded survives the loss of Redis' data.

Above it: `methods.chat`, which tells the client how it went. Below it: `pmcp_common.job_record`.
One batch is under way at a time; what comes meanwhile goes with the next. A batch that fails is not tried again here:
the keeper of the record finds its jobs in Redis (`pmcp_llm_worker.job_ledger`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby

from pmcp_common.contracts.accepted_jobs import MAX_JOBS, AcceptedJob
from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.jobs import Accepted, Submission
from pmcp_common.job_record import JobRecord, RecordMarks, job_to_record

log = logging.getLogger(__name__)

PACE_SECONDS = 0.05
"""Between two batches: a crowd's messages share one transaction, and a lone one does not wait."""
RECORD_SECONDS = 1.0
"""A memory service that takes longer has failed."""


class Recording:
    def __init__(
        self,
        record: JobRecord,
        marks: RecordMarks,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._record = record
        self._marks = marks
        self._sleep = sleep
        self._waiting: list[tuple[AcceptedJob, asyncio.Future[bool]]] = []
        self._some = asyncio.Event()

    def add(self, submission: Submission, accepted: Accepted) -> asyncio.Future[bool]:
        """True: the job is in the record, and is queued again should Redis lose its data. False: it may be later."""
        known: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if accepted.duplicate:
            known.set_result(accepted.recorded)
        else:
            self._waiting.append((job_to_record(submission, accepted), known))
            self._some.set()
        return known

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self._some.wait()
                await self._step()
                await self._sleep(PACE_SECONDS)
        finally:
            self._tell(self._waiting, recorded=False)

    async def _step(self) -> None:
        batch, self._waiting = self._waiting[:MAX_JOBS], self._waiting[MAX_JOBS:]
        recorded = False
        try:
            await self._bring([job for job, _ in batch])
            recorded = True
        except DomainError as error:
            # Those behind it would wait as long for nothing, and become more and more.
            batch, self._waiting = batch + self._waiting, []
            log.warning("accepted jobs not recorded yet", extra={"jobs": len(batch), "code": error.code})
        finally:
            self._tell(batch, recorded=recorded)
        if not self._waiting:
            self._some.clear()

    async def _bring(self, jobs: Sequence[AcceptedJob]) -> None:
        await self._record.record(jobs)
        # Of one epoch, but for the moment in which it changes.
        for epoch, of_epoch in groupby(jobs, key=lambda job: job.epoch):
            await self._marks.recorded(epoch, list(of_epoch))

    def _tell(self, batch: Sequence[tuple[AcceptedJob, asyncio.Future[bool]]], *, recorded: bool) -> None:
        for _, known in batch:
            if not known.done():
                known.set_result(recorded)
