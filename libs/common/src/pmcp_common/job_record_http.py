"""`JobRecord` in the memory service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import aiohttp
import orjson

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
PART_BYTES = 1024 * 1024
"""Of one request: the service bounds what it takes. One job alone is always smaller than that bound."""


class HttpJobRecord(Peer):
    def __init__(self, session: aiohttp.ClientSession, base_url: str, *, timeout_seconds: float = 3.0) -> None:
        super().__init__(session, base_url, "memory", timeout_seconds=timeout_seconds)

    async def record(self, jobs: Sequence[AcceptedJob]) -> None:
        for part in _parts(jobs):
            await self._ask(RowsChanged, "POST", f"{PATH}/record", body=AcceptedJobs(jobs=part))

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


def _parts(jobs: Sequence[AcceptedJob]) -> Iterator[tuple[AcceptedJob, ...]]:
    """In order, each as large as one request may be."""
    part: list[AcceptedJob] = []
    size = 0
    for job in jobs:
        more = len(orjson.dumps(job.submission))
        if part and size + more > PART_BYTES:
            yield tuple(part)
            part, size = [], 0
        part.append(job)
        size += more
    if part:
        yield tuple(part)
