"""The durable record of accepted messages in the memory service's database: gateways write it, the workers keep it.

Only for the day on which Redis loses its data: a row says that a job was accepted and has not been seen to end. It is
written beside the reply, and removed shortly after the end, once the reply's rows are stored.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pmcp_common.contracts.personas import Contract, Identifier

MAX_JOBS = 64
"""In one call."""
MAX_SUBMISSION_CHARS = 400_000
"""A message of 32 KiB, its situation, key and player may hold nothing but control characters: six for one in JSON."""


class JobName(Contract):
    tenant: Identifier
    job_id: Identifier


class AcceptedJob(JobName):
    epoch: Annotated[str, Field(min_length=1, max_length=64)]
    """The life of the Redis data in which the job is stored."""
    accepted_at_ms: int = Field(ge=0)
    submission: Annotated[str, Field(max_length=MAX_SUBMISSION_CHARS)]
    """As the queue takes it: `jobs.Submission` in JSON, with the persona it was accepted for."""


class AcceptedJobs(Contract):
    jobs: Annotated[tuple[AcceptedJob, ...], Field(max_length=MAX_JOBS)]


class SettledJobs(Contract):
    jobs: Annotated[tuple[JobName, ...], Field(max_length=MAX_JOBS)]


class LostJobsQuery(Contract):
    """Jobs recorded in any other life of the Redis data, oldest first."""

    epoch: Annotated[str, Field(min_length=1, max_length=64)]
    limit: int = Field(default=MAX_JOBS, ge=1, le=MAX_JOBS)


class OldJobs(Contract):
    """Jobs that were accepted so long ago that their end must have been missed."""

    accepted_before_ms: int = Field(ge=0)


class RowsChanged(Contract):
    rows: int
