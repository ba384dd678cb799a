"""The arq jobs: `reply` on the reply path, `remember` after it.

A named boundary: whatever escapes a use case is logged once here, with its request id, and becomes the reply's
terminal event or the retry of an off-path job. Rule: a claimed job ends in exactly one terminal event, unless its
claim was lost; then another attempt writes it.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from arq import Retry

from pmcp_common.bus import StreamBus
from pmcp_common.contracts.ends import end_without_model
from pmcp_common.contracts.errors import INTERNAL_ERROR, PERSONA_NOT_FOUND, DomainError, NotFound, Unavailable
from pmcp_common.contracts.jobs import Claim, ClaimRefusal, JobState, text_of
from pmcp_common.contracts.memories import RememberRequest, Turn
from pmcp_common.contracts.personas import Interaction
from pmcp_common.logs import request_id
from pmcp_common.peers import MemoryPeer, PersonaPeer
from pmcp_common.queue import JobQueue
from pmcp_common.turn_rows import has_row
from pmcp_llm_worker import metrics
from pmcp_llm_worker.caring import standing_of
from pmcp_llm_worker.chat_turn import BROKER_PAUSE_SECONDS, BROKER_TRIES, ChatTurn, Finished
from pmcp_llm_worker.leases import Leases, StopSignal
from pmcp_llm_worker.sentiment import sentiment
from pmcp_llm_worker.turn_effects import interactions_of, is_farewell, rest_after

log = logging.getLogger(__name__)

CLAIM_TRIES = 10
"""Half a lease: after that the entry is still in the queue, or the lease of a claim nobody knows of ends."""
HAND_BACK_SECONDS = 1.0
REMEMBER_TRIES = 8
REMEMBER_FIRST_PAUSE_SECONDS = 2.0
REMEMBER_MAX_PAUSE_SECONDS = 120.0

Context = dict[Any, Any]
"""What arq hands to a job: `job_id` is the queue's ticket, `job_try` counts from 1."""


class ReplyJob:
    """`on_model`: told the name of each model that answered; None when a canned line stood in for it."""

    def __init__(
        self,
        queue: JobQueue,
        bus: StreamBus,
        leases: Leases,
        turn: ChatTurn,
        on_model: Callable[[str | None], None],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._new_id = new_id
        self._queue = queue
        self._bus = bus
        self._leases = leases
        self._turn = turn
        self._on_model = on_model
        self._sleep = sleep

    async def __call__(self, tenant: str, job_id: str, ticket: str) -> None:
        claim = await self._claim(tenant, job_id, ticket)
        if isinstance(claim, ClaimRefusal):
            log.info("job not claimed", extra={"job": job_id, "refusal": claim.value})
            return
        request_id.set(claim.submission.request_id)
        metrics.count_claim(claim.queued_ms)
        try:
            with self._leases.hold(claim) as signal, metrics.RUNNING.track_inprogress():
                finished = await self._run(claim, signal)
        except asyncio.CancelledError:
            await self._hand_back(claim)
            raise
        self._report(claim, finished)

    async def _claim(self, tenant: str, job_id: str, ticket: str) -> Claim | ClaimRefusal:
        """Asked again under one name while the broker is away: a claim whose answer was lost is ours."""
        claimant = self._new_id()
        for _ in range(CLAIM_TRIES):
            try:
                return await self._queue.claim(tenant, job_id, ticket, claimant)
            except Unavailable as error:
                log.warning("job not claimed, trying again", extra={"job": job_id, "code": error.code})
                await self._sleep(BROKER_PAUSE_SECONDS)
        return await self._queue.claim(tenant, job_id, ticket, claimant)

    async def _hand_back(self, claim: Claim) -> None:
        """This worker leaves: another one goes on at once instead of waiting for the end of the lease."""
        fields = {"job": claim.submission.job_id, "attempt": claim.attempt}
        try:
            async with asyncio.timeout(HAND_BACK_SECONDS):
                released = await self._queue.release(claim)
        except (DomainError, TimeoutError) as error:
            log.warning("reply not handed back, its lease has to end", extra={**fields, "error": type(error).__name__})
        else:
            log.info("reply handed back", extra={**fields, "released": released})

    async def _run(self, claim: Claim, signal: StopSignal) -> Finished | None:
        try:
            return await self._turn.run(claim, signal)
        except Exception:  # boundary: a fault of ours becomes the reply's end
            log.exception("reply failed unexpectedly", extra={"job": claim.submission.job_id})
            return await self._fail(claim, signal)

    async def _fail(self, claim: Claim, signal: StopSignal) -> Finished | None:
        """The end, on top of whatever is in the stream now; tried again while the broker is away."""
        for _ in range(BROKER_TRIES):
            if signal.lost:
                return None
            try:
                finished = await self._end_with_error(claim)
                if finished is None or finished.written:
                    return finished
                signal.take(await self._queue.renew(claim))  # a last piece was still on its way, or the claim is lost
            except DomainError as error:
                log.warning("end not written, trying again", extra={"code": error.code})
                await self._sleep(BROKER_PAUSE_SECONDS)
        return None

    async def _end_with_error(self, claim: Claim) -> Finished | None:
        """None: it was declared how this reply ends, and the next attempt ends it so."""
        submission = claim.submission
        page = await self._bus.read(submission.tenant, submission.principal, submission.job_id, 0, limit=100_000)
        if page.state is JobState.COMMITTING:
            return None
        end = end_without_model(
            replace(claim, last_seq=page.head_seq),
            text_of(page.events),
            state=JobState.FAILED,
            finish_reason=INTERNAL_ERROR.name,
            error=(INTERNAL_ERROR.code, "Internal error"),
        )
        return Finished(end, await self._queue.finish(claim, end, remember=False))

    def _report(self, claim: Claim, finished: Finished | None) -> None:
        fields: dict[str, Any] = {"job": claim.submission.job_id, "attempt": claim.attempt}
        if finished is None or not finished.written:
            log.warning("reply given up: the claim was lost", extra=fields)
            return
        end = finished.end
        metrics.count_end(end)
        if end.model or not has_row(end):
            self._on_model(end.model or None)
        log.info(
            "reply ended",
            extra={
                **fields,
                "state": end.state,
                "finish_reason": end.finish_reason,
                "tokens": end.tokens_used,
                "model": end.model,
                "persisted": end.persisted,
                "memory": end.memory,
                "timings": end.timings,
            },
        )


async def _leave_it(_tenant: str, _turn: Turn) -> None:
    return None


class RememberJob:
    """Makes memories of a stored turn, and tells the persona that it talked and how it was spoken to, or that it took
    its leave. Safe to run again."""

    def __init__(
        self,
        memory: MemoryPeer,
        personas: PersonaPeer,
        look_after: Callable[[str, Turn], Awaitable[None]] | None = None,
    ) -> None:
        """`look_after`: what is to be done about the conversation of a turn once it is remembered."""
        self._memory = memory
        self._personas = personas
        self._look_after = look_after or _leave_it

    async def __call__(
        self, ctx: Context, tenant: str, job_id: str, user_message_id: str, message_id: str, processing_time: float
    ) -> None:
        attempt = int(ctx.get("job_try", 1))
        try:
            await self._remember(tenant, user_message_id, message_id, processing_time)
        except DomainError as error:
            self._again(attempt, job_id, error)
        else:
            metrics.REMEMBER.labels("done").inc()

    def _again(self, attempt: int, job_id: str, error: DomainError) -> None:
        fields = {"job": job_id, "attempt": attempt, "code": error.code}
        if attempt >= REMEMBER_TRIES:
            metrics.REMEMBER.labels("failed").inc()
            log.error("turn not remembered: out of tries", extra=fields)
            return
        pause = min(REMEMBER_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), REMEMBER_MAX_PAUSE_SECONDS)
        log.warning("turn not remembered yet", extra={**fields, "retry_seconds": pause})
        raise Retry(defer=pause)

    async def _remember(self, tenant: str, user_message_id: str, message_id: str, processing_time: float) -> None:
        turn = await self._memory.turn(tenant, message_id)
        if turn is None:  # still in the spool
            raise NotFound("The turn is not stored yet")
        request_id.set(str(turn.metadata.get("request_id", "")) or None)
        if is_farewell(turn):
            await self._rest(tenant, turn)
            return
        standing = await standing_of(self._personas, tenant, turn)
        request = RememberRequest(message_ids=(user_message_id, message_id), standing=standing)
        await self._memory.remember(tenant, request)
        said = await self._memory.turn(tenant, user_message_id)
        judged = sentiment(said.content) if said is not None else None
        for persona_id, interaction in interactions_of(turn, user_message_id, processing_time, judged):
            await self._move(tenant, persona_id, interaction)
        await self._look_after(tenant, turn)

    async def _move(self, tenant: str, persona_id: str, interaction: Interaction) -> None:
        with _unless_deleted(persona_id):
            await self._personas.record_interaction(tenant, persona_id, interaction)

    async def _rest(self, tenant: str, farewell: Turn) -> None:
        end = rest_after(farewell)
        if end is not None:
            with _unless_deleted(farewell.persona_id):
                await self._personas.end_conversation(tenant, farewell.persona_id, end)


@contextmanager
def _unless_deleted(persona_id: str) -> Iterator[None]:
    try:
        yield
    except DomainError as error:
        if error.code != PERSONA_NOT_FOUND.code:
            raise
        log.info("the persona was deleted meanwhile: nobody to be moved", extra={"persona": persona_id})
