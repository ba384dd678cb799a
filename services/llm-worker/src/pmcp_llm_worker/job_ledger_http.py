"""`JobRecord` in the memory service."""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp

from pmcp_common.contracts.accepted_jobs import (
    AcceptedJob,
    AcceptedJobs,
    JobName,
    LostJobsQuery,
    OldJobs,
    RowsChanged,
    SettledJobs,
)
from pmcp_common.peers_http import Peer

PATH = "/v1/accepted-jobs"


class HttpJobRecord(Peer):
    def __init__(self, session: aiohttp.ClientSession, base_url: str, *, timeout_seconds: float = 3.0) -> None:
        super().__init__(session, base_url, "memory", timeout_seconds=timeout_seconds)

    async def record(self, jobs: Sequence[AcceptedJob]) -> None:
        if jobs:
            await self._ask(RowsChanged, "POST", f"{PATH}/record", body=AcceptedJobs(jobs=tuple(jobs)))

    async def settle(self, jobs: Sequence[JobName]) -> None:
        if jobs:
            names = tuple(JobName(tenant=job.tenant, job_id=job.job_id) for job in jobs)
            await self._ask(RowsChanged, "POST", f"{PATH}/settle", body=SettledJobs(jobs=names))

    async def lost(self, epoch: str, limit: int) -> Sequence[AcceptedJob]:
        query = LostJobsQuery(epoch=epoch, limit=limit)
        return (await self._ask(AcceptedJobs, "POST", f"{PATH}/lost", body=query)).jobs

    async def purge(self, accepted_before_ms: int) -> int:
        query = OldJobs(accepted_before_ms=accepted_before_ms)
        return (await self._ask(RowsChanged, "POST", f"{PATH}/purge", body=query)).rows
