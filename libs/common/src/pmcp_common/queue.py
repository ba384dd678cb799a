"""Port: the job machine. A job is submitted once, claimed under a fence, finished once, reaped when its worker dies.

Adapters: `queue_arq` (Redis + arq), `testing.broker_memory` (the twin). Both pass tests/…/test_broker_contract.py.
All methods raise `Unavailable` when the broker cannot be reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pmcp_common.contracts.jobs import Accepted, AppendResult, Claim, ClaimRefusal, End, Submission


@dataclass(frozen=True, slots=True)
class Reaped:
    """What one pass over expired leases did."""

    requeued: int
    failed: int


class JobQueue(Protocol):
    async def submit(self, submission: Submission) -> Accepted:
        """Store the job and put it in line, atomically; turns of one conversation run in order of submission.

        Raises NoActivePersona, IdempotencyConflict, TooManyRequests (queue full, with `retry_after` seconds).
        """
        ...

    async def claim(self, tenant: str, job_id: str, ticket: str = "") -> Claim | ClaimRefusal:
        """Take the job: raises its fence, so that every earlier claim can write no more.

        `ticket`: the queue's name of the entry this call runs; a stale one (the job was queued again) is HELD.
        """
        ...

    async def renew(self, claim: Claim, *, committing: bool = False) -> AppendResult:
        """Extend the lease; `committing` also marks that the reply is being written to Postgres.

        OK or CANCEL: the claim stands. FENCED, TERMINAL or GONE: it is lost, stop at once.
        """
        ...

    async def finish(self, claim: Claim, end: End, *, remember: bool) -> bool:
        """Write the terminal event and release the conversation's next turn. False: was already ended or fenced.

        `remember`: also enqueue the off-path job that makes memories of this turn, in the same step.
        """
        ...

    async def cancel(self, tenant: str, principal: str, job_id: str) -> str:
        """Ask for the end of a reply: "cancelling", or its terminal state when it had ended.

        A job that no worker has claimed ends at once. Raises StreamNotFound for unknown and foreign ids.
        """
        ...

    async def reap(self) -> Reaped:
        """Give jobs whose lease ended back to the queue, or fail them after MAX_ATTEMPTS."""
        ...
