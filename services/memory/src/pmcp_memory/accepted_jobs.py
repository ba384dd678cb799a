"""The rows of the schema `jobs`: accepted messages that have not been seen to end, for all tenants together.

Owns its statements (`accepted_jobs.sql`). It knows no queue: what a lost job means is decided by the workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from pmcp_common.contracts.accepted_jobs import AcceptedJob, JobName
from pmcp_common.postgres import read_queries
from pmcp_memory.database import Database

PURGE_BATCH = 1000
JOB_MIGRATIONS = files("pmcp_memory") / "job_migrations"


class AcceptedJobStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = read_queries(files("pmcp_memory") / "accepted_jobs.sql")

    async def record(self, jobs: Sequence[AcceptedJob]) -> int:
        """Idempotent; a job recorded in another epoch moves to the one named now."""
        by_name = {(job.tenant, job.job_id): job for job in jobs}
        unique = list(by_name.values())
        rows = await self._database.fetch(
            self._queries["record_jobs"],
            [job.tenant for job in unique],
            [job.job_id for job in unique],
            [job.epoch for job in unique],
            [job.accepted_at_ms for job in unique],
            [job.submission for job in unique],
        )
        return len(rows)

    async def settle(self, jobs: Sequence[JobName]) -> int:
        rows = await self._database.fetch(
            self._queries["settle_jobs"], [job.tenant for job in jobs], [job.job_id for job in jobs]
        )
        return len(rows)

    async def lost(self, epoch: str, limit: int) -> tuple[AcceptedJob, ...]:
        """Those of every other epoch, oldest first."""
        rows = await self._database.fetch(self._queries["lost_jobs"], epoch, limit)
        return tuple(
            AcceptedJob(
                tenant=row["tenant_id"],
                job_id=row["job_id"],
                epoch=row["epoch"],
                accepted_at_ms=row["accepted_at"],
                submission=row["submission"],
            )
            for row in rows
        )

    async def purge(self, accepted_before_ms: int) -> int:
        """A batch of those accepted before, so that no statement takes long."""
        return len(await self._database.fetch(self._queries["purge_jobs"], accepted_before_ms, PURGE_BATCH))
