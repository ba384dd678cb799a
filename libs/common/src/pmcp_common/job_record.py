"""Ports: the record of accepted jobs in the memory service, and the marks in Redis that say what is in it.

Gateways write it beside each acceptance, the keeper (`pmcp_llm_worker.job_ledger`) writes what they could not and takes
out what has ended. Adapters: `job_record_http`, `job_record_redis`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import orjson

from pmcp_common.contracts.accepted_jobs import AcceptedJob, JobName
from pmcp_common.contracts.jobs import Accepted, Submission


class JobRecord(Protocol):
    """Raises Unavailable."""

    async def record(self, jobs: Sequence[AcceptedJob]) -> None: ...

    async def settle(self, jobs: Sequence[JobName]) -> None: ...

    async def lost(self, epoch: str, limit: int) -> Sequence[AcceptedJob]:
        """Those of other epochs, oldest first."""
        ...

    async def purge(self, accepted_before_ms: int) -> int:
        """Drop what was accepted before; returns how many."""
        ...


class RecordMarks(Protocol):
    """Raises Unavailable."""

    async def recorded(self, epoch: str, jobs: Sequence[JobName]) -> None:
        """They are in the record since now, as of this epoch. If the data was lost meanwhile, the keeper looks for
        lost jobs once more."""
        ...


def job_to_record(submission: Submission, accepted: Accepted) -> AcceptedJob:
    """With the persona it was accepted for: the message may name none, and the session is lost with the rest."""
    stored = replace(submission, persona_id=accepted.persona_id, persona_name=accepted.persona_name)
    return AcceptedJob(
        tenant=submission.tenant,
        job_id=submission.job_id,
        epoch=accepted.epoch,
        accepted_at_ms=submission.accepted_at_ms,
        submission=orjson.dumps(stored).decode(),
    )
