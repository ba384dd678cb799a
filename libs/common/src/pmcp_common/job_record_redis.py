"""`RecordMarks` on Redis."""

from __future__ import annotations

from collections.abc import Sequence

from pmcp_common.contracts import keys
from pmcp_common.contracts.accepted_jobs import JobName
from pmcp_common.redis_link import BytesRedis, Script


class RedisRecordMarks:
    def __init__(self, redis: BytesRedis) -> None:
        self._recorded = Script(redis, "recorded")

    async def recorded(self, epoch: str, jobs: Sequence[JobName]) -> None:
        await self._recorded([keys.EPOCH, keys.RESTORED], [epoch, *(member(job) for job in jobs)])


def member(job: JobName) -> str:
    """Of the sets of jobs."""
    return f"{job.tenant}/{job.job_id}"
