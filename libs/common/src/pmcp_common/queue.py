"""Port: the job machine. A job is submitted once, claimed under a fence, finished once, reaped when its worker dies.

Adapters: `queue_arq` (Redis + arq), `testing.broker_memory` (the twin). Both pass tests/…/test_broker_contract.py.
All methods raise `Unavailable` when the broker cannot be reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pmcp_common.contracts.jobs import (
    Accepted,
    AppendResult,
    Claim,
    ClaimRefusal,
    Declared,
    End,
    Submission,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Reaped:
    """What one pass over expired leases did."""

    requeued: int
    ended: int
    """Late or without a worker for too often."""
    next_seconds: float | None = None
    """Until the next job is due to be looked at, as far as is known now; None: none is."""


class JobQueue(Protocol):
    async def submit(self, submission: Submission) -> Accepted:
        """Store the job and put it in line, atomically; turns of one conversation run in order of submission.

        Raises NoActivePersona, IdempotencyConflict, TooManyRequests (queue full, with `retry_after` seconds),
        SessionReplaced (a newer socket speaks for the session), and StreamPosition for a repeated message whose
        stream is kept no longer: it is never answered a second time.
        """
        ...

    async def accepted(
        self, tenant: str, principal: str, player_id: str, idempotency_keys: Sequence[str]
    ) -> list[Accepted | None]:
        """What each key became, in order; None: nothing was accepted under it."""
        ...

    async def claim(
        self, tenant: str, job_id: str, ticket: str = "", claimant: str | None = None
    ) -> Claim | ClaimRefusal:
        """Take the job: raises its fence, so that every earlier claim can write no more.

        `ticket`: the queue's name of the entry this call runs; a stale one (the job was queued again) is HELD.
        `claimant`: whoever asks again under the same name, because the answer was lost, gets the same claim.
        """
        ...

    async def renew(self, claim: Claim) -> AppendResult:
        """Extend the lease.

        OK or CANCEL: the claim stands. FENCED, TERMINAL, GONE or ILLEGAL: it is lost, stop at once.
        """
        ...

    async def declare(self, claim: Claim, verdict: Verdict) -> Declared:
        """Say that the text in the stream is whole, before its rows are written: then no word comes after it.

        Any answer but OK: the claim is lost; write no row. Saying it again changes nothing.
        """
        ...

    async def finish(self, claim: Claim, end: End, *, remember: bool) -> bool:
        """Write the terminal event and release the conversation's next turn. False: another ended it, or may.

        Saying the same again, because the answer was lost, is answered as before.

        `remember`: also enqueue the off-path job that makes memories of this turn, in the same step.
        Raises IllegalTransition for an end the job's state does not know.
        """
        ...

    async def cancel(
        self,
        tenant: str,
        principal: str,
        job_id: str,
        *,
        heard_chars: int | None = None,
        attachment: int | None = None,
    ) -> str:
        """Ask for the end of a reply: "cancelling", or its terminal state when it had ended.

        A job that no worker has claimed ends at once. `heard_chars`: how much of the text reached the person; the
        first to say so is believed. `attachment`: do nothing when the stream was attached anew since then; its
        state is returned. Raises StreamNotFound for unknown and foreign ids.
        """
        ...

    async def heard_chars(self, claim: Claim) -> int | None:
        """Read once, by the worker of a cancelled reply: only so much of its text may become memory. None: all."""
        ...

    async def expire(self, tenant: str, principal: str, job_id: str) -> float:
        """End a reply that is past its deadline and that nobody else ended, as `ends` has it. Raises StreamNotFound.

        0: it has ended (now, or before). Otherwise the seconds after which asking again makes sense.
        """
        ...

    async def release(self, claim: Claim) -> bool:
        """Hand a claimed job back, for another worker to go on at once. False: the claim was lost before."""
        ...

    async def reap(self) -> Reaped:
        """Give jobs whose lease ended back to the queue; end those that are late or have had MAX_ATTEMPTS."""
        ...
