"""One reply: context → prompt → model → stream → rows → the terminal event.

Above it: `jobs`, which claims and is the boundary for exceptions. Below it: ports only (queue, bus, peers, model,
spool). Rules: one model call at a time; what was shown is never taken back or generated again; first it is declared
that the text is whole, then the rows, then the end; a claim that is lost writes nothing more, neither row nor end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pmcp_common.bus import StreamBus
from pmcp_common.clock import Clock
from pmcp_common.contracts.ends import LAST_FALLBACK_LINE, TOO_LATE, end_as_declared
from pmcp_common.contracts.errors import LLM_ERROR, DomainError, Unavailable
from pmcp_common.contracts.jobs import (
    NOTHING,
    AppendResult,
    Claim,
    Declared,
    End,
    JobState,
    StreamEvent,
    Verdict,
    text_of,
)
from pmcp_common.contracts.memories import CommitTurns, Turn
from pmcp_common.contracts.talks import Routing
from pmcp_common.peers import MemoryPeer
from pmcp_common.queue import JobQueue
from pmcp_common.turn_rows import has_effects, has_row, turns_to_commit
from pmcp_llm_worker import metrics
from pmcp_llm_worker.emitter import Emitter, EmitterHub
from pmcp_llm_worker.leases import StopSignal
from pmcp_llm_worker.model import Usage
from pmcp_llm_worker.model_retry import RetryingModel
from pmcp_llm_worker.persona_cache import PersonaCache
from pmcp_llm_worker.reply_plan import farewell
from pmcp_llm_worker.rungs import Rung
from pmcp_llm_worker.scene import Scene, SceneReader
from pmcp_llm_worker.speech import LENGTH, ReplyLimits, Speech, say_canned
from pmcp_llm_worker.turn_outcome import (
    INTERRUPTED,
    Outcome,
    Written,
    end_of,
    fallback_line,
)
from pmcp_llm_worker.turn_spool import TurnSpool

log = logging.getLogger(__name__)

T = TypeVar("T")

CONTEXT_SHARE = 0.3
"""Of the time until a client's deadline: so long memory may take."""
MIN_COMMIT_SECONDS = 0.05
INTERRUPTED_WITHOUT_MODEL = "The model had no answer; which way it failed is lost with the worker that asked it"
BROKER_TRIES = 20
BROKER_PAUSE_SECONDS = 0.5
"""An end is tried for 10 s, one lease: after that the reaper and the next attempt have the job."""


@dataclass(slots=True)
class Finished:
    end: End
    written: bool
    """False: the claim was lost, and another attempt answers."""


class ChatTurn:
    def __init__(
        self,
        *,
        queue: JobQueue,
        bus: StreamBus,
        hub: EmitterHub,
        personas: PersonaCache,
        memory: MemoryPeer,
        model: RetryingModel,
        spool: TurnSpool,
        clock: Clock,
        limits: ReplyLimits,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._queue = queue
        self._bus = bus
        self._hub = hub
        self._personas = personas
        self._memory = memory
        self._speech = Speech(model, clock, limits)
        self._spool = spool
        self._scenes = SceneReader(personas, memory, limits.prompt_turns)
        self._clock = clock
        self._sleep = sleep

    async def run(self, claim: Claim, signal: StopSignal) -> Finished | None:
        """Answer a claimed message with exactly one terminal event; None when the claim was lost before that."""
        started = self._clock.monotonic()
        outcome = Outcome(timings={"pickup_ms": claim.queued_ms}, due=self._due(claim, started))
        if claim.verdict is not None:
            end = end_as_declared(claim, text_of(await self._shown(claim)))
            assert end is not None
            return await self._conclude(claim, signal, Verdict(end, claim.verdict.heard_chars), outcome.due, started)
        if claim.attempt > 1 or claim.submission.requeued:
            emitter = await self._resume(claim, signal, outcome, started)
        else:
            emitter = self._hub.open(claim, signal)
            await self._reply(claim, signal, outcome, emitter, started)
        await emitter.drain()
        if signal.lost:
            return None
        return await self._finish(claim, signal, outcome, emitter, started)

    def _due(self, claim: Claim, started: float) -> float | None:
        submission = claim.submission
        if submission.deadline_ms is None:
            return None
        waited_ms = claim.queued_ms
        if submission.requeued:  # Redis counts anew; the client does not
            waited_ms = max(waited_ms, self._clock.now().timestamp() * 1000 - submission.accepted_at_ms)
        return started + (submission.deadline_ms - waited_ms) / 1000

    async def _resume(self, claim: Claim, signal: StopSignal, outcome: Outcome, started: float) -> Emitter:
        """After another worker's end. What it showed stands: whole when its row is stored, else it is continued."""
        deltas = await self._shown(claim)
        shown = text_of(deltas)
        emitter = self._hub.open(claim, signal, shown)
        row = await self._stored(claim, claim.submission.message_id) if shown or claim.submission.requeued else None
        if row is not None:
            await self._load_persona(claim, outcome)
            _restore(outcome, row)
            if len(row.content) > len(shown) and row.content.startswith(shown):
                emitter.write(row.content[len(shown) :])  # Redis lost its last second
        elif not shown and await self._answered_by_a_line(claim):
            await self._load_persona(claim, outcome)
            say_canned(claim, outcome, emitter, INTERRUPTED_WITHOUT_MODEL)
        elif not shown:
            await self._reply(claim, signal, outcome, emitter, started)
        else:
            await self._load_persona(claim, outcome)
            if not _said_without_model(claim, outcome, shown):
                await self._continue(claim, signal, outcome, emitter, started, may_go_on(claim, deltas))
        return emitter

    async def _shown(self, claim: Claim) -> tuple[StreamEvent, ...]:
        if not claim.last_seq:
            return ()
        submission = claim.submission
        page = await self._until_answered(
            lambda: self._bus.read(submission.tenant, submission.principal, submission.job_id, 0, limit=claim.last_seq)
        )
        return page.events

    async def _continue(
        self, claim: Claim, signal: StopSignal, outcome: Outcome, emitter: Emitter, started: float, may_go_on: bool
    ) -> None:
        if signal.reason is None and not may_go_on:
            outcome.fail(LLM_ERROR, "The reply was interrupted and could not be continued", INTERRUPTED)
            return
        metrics.CONTINUED.inc()
        await self._reply(claim, signal, outcome, emitter, started)

    async def _answered_by_a_line(self, claim: Claim) -> bool:
        """Of a message that came again after a loss: its row alone is stored only when a line of ours, which has none,
        was its answer. The client may have seen it: the model's answer now would be a second one."""
        submission = claim.submission
        return submission.requeued and await self._stored(claim, submission.user_message_id) is not None

    async def _stored(self, claim: Claim, message_id: str) -> Turn | None:
        try:
            return await self._memory.turn(claim.submission.tenant, message_id)
        except DomainError as error:
            log.warning("cannot tell whether a row is stored", extra={"code": error.code})
            return None

    async def _load_persona(self, claim: Claim, outcome: Outcome) -> None:
        """For an end alone: it goes out without the persona's state if the service is away."""
        submission = claim.submission
        try:
            outcome.persona, outcome.state = await self._personas.for_turn(
                submission.tenant, claim.persona_id, submission.player_id
            )
        except DomainError as error:
            log.warning("persona not read for an end", extra={"code": error.code})

    async def _reply(
        self, claim: Claim, signal: StopSignal, outcome: Outcome, emitter: Emitter, started: float
    ) -> None:
        if signal.reason is not None:
            outcome.cancel()
            return
        scene = await self._gather(claim, outcome, emitter)
        if scene is None:
            return
        outcome.timings["context_ms"] = (self._clock.monotonic() - started) * 1000
        if scene.plan.routing is Routing.CLOSING:
            outcome.close()
            emitter.write(farewell(claim.submission.job_id))
        else:
            await self._speech.speak(claim, signal, outcome, emitter, scene)
        self._note_timings(claim, outcome, emitter, started)

    async def _gather(self, claim: Claim, outcome: Outcome, emitter: Emitter) -> Scene | None:
        """None: the reply ends here, as `outcome` says."""
        left = self._left(outcome)
        patience = None if left is None else left * CONTEXT_SHARE
        try:
            async with asyncio.timeout(left):
                return await self._scenes.gather(claim, outcome, patience_seconds=patience, going_on=emitter.started)
        except TimeoutError:
            outcome.persona = outcome.persona or self._personas.known(claim.submission.tenant, claim.persona_id)
            if not emitter.started:
                say_canned(claim, outcome, emitter, TOO_LATE)
            else:
                outcome.rung, outcome.finish_reason = Rung.SHORTENED, LENGTH
        except DomainError as error:
            outcome.fail(error.row, error.message, INTERRUPTED if emitter.started else error.row.name)
            outcome.error_data = error.data
        return None

    def _left(self, outcome: Outcome) -> float | None:
        """Seconds until the client's deadline."""
        return None if outcome.due is None else outcome.due - self._clock.monotonic()

    def _note_timings(self, claim: Claim, outcome: Outcome, emitter: Emitter, started: float) -> None:
        if emitter.first_at is not None:
            outcome.timings["first_token_ms"] = claim.queued_ms + (emitter.first_at - started) * 1000

    async def _finish(
        self, claim: Claim, signal: StopSignal, outcome: Outcome, emitter: Emitter, started: float
    ) -> Finished | None:
        self._note_timings(claim, outcome, emitter, started)
        end = end_of(claim, outcome, Written(emitter.text, emitter.sha256, emitter.seq))
        verdict = Verdict(end, await self._heard_chars(claim, end))
        return await self._conclude(claim, signal, verdict, outcome.due, started)

    async def _conclude(
        self, claim: Claim, signal: StopSignal, verdict: Verdict, due: float | None, started: float
    ) -> Finished | None:
        """Of a text that is whole: its rows, then its end."""
        end, timings = verdict.end, dict(verdict.end.timings)
        turns = turns_to_commit(claim, end, end.text[: verdict.heard_chars], self._clock.now())
        persisted = kept = False
        if turns is not None:
            committing_at = self._clock.monotonic()
            declared = await self._declare(claim, verdict)
            signal.take(declared.answer)
            if signal.lost:
                return None
            left = None if due is None else due - self._clock.monotonic()
            persisted = not declared.others_owed and await self._commit(claim, turns, left)
            kept = persisted or await self._spool_turns(claim, turns)
            timings["commit_ms"] = round((self._clock.monotonic() - committing_at) * 1000, 3)
        seconds = claim.queued_ms / 1000 + self._clock.monotonic() - started
        end = replace(end, persisted=persisted and has_row(end), processing_time=round(seconds, 3), timings=timings)
        return Finished(end, await self._write_end(claim, end, remember=kept and has_effects(end)))

    async def _heard_chars(self, claim: Claim, end: End) -> int | None:
        """How much of the text reached the person: the rest was never said, as far as the conversation knows."""
        if end.state != JobState.CANCELLED or not end.text:
            return None
        return await self._until_answered(lambda: self._queue.heard_chars(claim))

    async def _declare(self, claim: Claim, verdict: Verdict) -> Declared:
        """Without the broker's word no row is written: a successor might be going on with the text."""
        declared = Verdict(replace(verdict.end, text=""), verdict.heard_chars)
        try:
            return await self._until_answered(lambda: self._queue.declare(claim, declared))
        except DomainError as error:
            log.warning("commit not announced", extra={"code": error.code})
            return Declared(AppendResult.GONE)

    async def _write_end(self, claim: Claim, end: End, *, remember: bool) -> bool:
        return await self._until_answered(lambda: self._queue.finish(claim, end, remember=remember))

    async def _until_answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask the broker again while it is away."""
        for _ in range(BROKER_TRIES):
            try:
                return await ask()
            except Unavailable as error:
                log.warning("the broker is away, trying again", extra={"code": error.code})
                await self._sleep(BROKER_PAUSE_SECONDS)
        return await ask()

    async def _commit(self, claim: Claim, turns: CommitTurns, left_seconds: float | None) -> bool:
        """Rows that take longer than the client has go to the spool; that they may be stored already does no harm."""
        try:
            async with asyncio.timeout(None if left_seconds is None else max(MIN_COMMIT_SECONDS, left_seconds)):
                await self._memory.commit(claim.submission.tenant, turns)
        except (DomainError, TimeoutError) as error:
            log.warning("turns not stored", extra={"error": type(error).__name__})
            return False
        return True

    async def _spool_turns(self, claim: Claim, turns: CommitTurns) -> bool:
        try:
            await self._until_answered(lambda: self._spool.put(claim.submission.tenant, turns))
        except DomainError as error:
            log.error("turns lost: neither stored nor spooled", extra={"code": error.code})
            return False
        return True


def may_go_on(claim: Claim, deltas: Sequence[StreamEvent]) -> bool:
    """Once after a death; a worker that handed the reply back in order does not count."""
    attempts = {delta.attempt for delta in deltas}
    return len(attempts) - 1 <= claim.handed_back


def _said_without_model(claim: Claim, outcome: Outcome, shown: str) -> bool:
    """Whether all that was shown is a whole line of ours, to which nothing is missing but its end."""
    if shown in (fallback_line(outcome.persona, claim.submission.job_id), LAST_FALLBACK_LINE):
        outcome.fall_back(INTERRUPTED_WITHOUT_MODEL)
    elif shown == farewell(claim.submission.job_id):
        outcome.close()
    else:
        return False
    return True


def _restore(outcome: Outcome, row: Turn) -> None:
    """The reply ended before; only its end event is missing."""
    about = row.metadata
    cancelled, failed = (about.get("state") == state for state in (JobState.CANCELLED, JobState.FAILED))
    outcome.ended = JobState.CANCELLED if cancelled else JobState.FAILED if failed else JobState.DONE
    outcome.finish_reason = str(about.get("finish_reason", "stop"))
    outcome.provider = str(about.get("provider", ""))
    outcome.memory = str(about.get("memory", NOTHING))
    outcome.routing = Routing(about["routing"]) if about.get("routing", NOTHING) != NOTHING else None
    if about.get("model"):
        outcome.usage = Usage(outcome.finish_reason, str(about["model"]))
    if outcome.ended is JobState.FAILED:
        outcome.error = (LLM_ERROR, "The reply was interrupted")
