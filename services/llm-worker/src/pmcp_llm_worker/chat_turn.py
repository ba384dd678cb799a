"""One reply: context → prompt → model → stream → rows → the terminal event.

Above it: `jobs`, which claims and is the boundary for exceptions. Below it: ports only (queue, bus, peers, model,
spool). Rules: one model call at a time; what was shown is never taken back or generated again; rows first, then the
end; a claim that is lost writes nothing more, not even its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from pmcp_common.bus import StreamBus
from pmcp_common.clock import Clock
from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import LLM_ERROR, DomainError, PersonaUnavailable, Unavailable
from pmcp_common.contracts.jobs import Claim, End, JobState, text_of
from pmcp_common.contracts.memories import MAX_CONTENT_BYTES, CommitTurns, ContextRequest, ContextResponse, Turn
from pmcp_common.contracts.personas import Persona
from pmcp_common.contracts.talks import Routing, as_player, partner_of
from pmcp_common.peers import MemoryPeer
from pmcp_common.queue import JobQueue
from pmcp_llm_worker.emitter import Emitter, EmitterHub
from pmcp_llm_worker.leases import StopSignal
from pmcp_llm_worker.model import Generation, ModelError, Patience, TextSink, Usage
from pmcp_llm_worker.model_retry import RetryingModel
from pmcp_llm_worker.persona_cache import PersonaCache
from pmcp_llm_worker.prompt import MAX_TURNS, PromptParts, assemble
from pmcp_llm_worker.reply_plan import CLOSING, ReplyPlan, bound, farewell, plan_reply
from pmcp_llm_worker.surroundings import Sights, describe
from pmcp_llm_worker.turn_outcome import (
    INTERRUPTED,
    Outcome,
    Written,
    circumstances_of,
    end_of,
    fallback_line,
    score_reply,
    storable,
    turns_to_commit,
)
from pmcp_llm_worker.turn_spool import TurnSpool

log = logging.getLogger(__name__)

MAX_MEMORIES = 5
BROKER_TRIES = 20
BROKER_PAUSE_SECONDS = 0.5
"""An end is tried for 10 s, one lease: after that the reaper and the next attempt have the job."""
NO_CONTEXT = ContextResponse(turns=(), summary=None, memories=(), recall="unavailable")


@dataclass(frozen=True, slots=True)
class ReplyLimits:
    generation: Generation
    patience: Patience


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a reply is made of besides the persona and the message."""

    context: ContextResponse
    plan: ReplyPlan
    surroundings: str


class ReplyFull(Exception):
    """The reply is as long as a stored turn may be; the model is stopped there."""


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
        sights: Sights,
        clock: Clock,
        limits: ReplyLimits,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._queue = queue
        self._bus = bus
        self._hub = hub
        self._personas = personas
        self._memory = memory
        self._model = model
        self._spool = spool
        self._sights = sights
        self._clock = clock
        self._limits = limits
        self._sleep = sleep

    async def run(self, claim: Claim, signal: StopSignal) -> Finished | None:
        """Answer a claimed message with exactly one terminal event; None when the claim was lost before that."""
        started = self._clock.monotonic()
        outcome = Outcome(timings={"pickup_ms": claim.queued_ms})
        if claim.attempt > 1:
            emitter = await self._resume(claim, signal, outcome)
        else:
            emitter = self._hub.open(claim, signal)
            await self._reply(claim, signal, outcome, emitter, started)
        await emitter.drain()
        if signal.lost:
            return None
        return await self._finish(claim, signal, outcome, emitter, started)

    async def _resume(self, claim: Claim, signal: StopSignal, outcome: Outcome) -> Emitter:
        """After another worker's death. What it showed stands: whole when its row is stored, else a partial."""
        submission = claim.submission
        shown = ""
        if claim.last_seq:
            page = await self._bus.read(
                submission.tenant, submission.principal, submission.job_id, 0, limit=claim.last_seq
            )
            shown = text_of(page.events)
        emitter = self._hub.open(claim, signal, shown)
        if not shown:
            await self._reply(claim, signal, outcome, emitter, self._clock.monotonic())
            return emitter
        await self._load_persona(claim, outcome)
        row = await self._stored_reply(claim)
        if row is not None:
            _restore(outcome, row)
        elif outcome.persona is not None and shown == fallback_line(outcome.persona, submission.job_id):
            outcome.fall_back()
        elif shown == farewell(submission.job_id):
            outcome.close()
        elif signal.reason is not None:
            _cancel(outcome)
        else:
            outcome.fail(LLM_ERROR, "The reply was interrupted and could not be continued", INTERRUPTED)
        return emitter

    async def _stored_reply(self, claim: Claim) -> Turn | None:
        try:
            return await self._memory.turn(claim.submission.tenant, claim.submission.message_id)
        except DomainError as error:
            log.warning("cannot tell whether the reply is stored", extra={"code": error.code})
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
            _cancel(outcome)
            return
        try:
            scene = await self._gather_context(claim, outcome)
        except DomainError as error:
            outcome.fail(error.row, error.message, error.row.name)
            return
        outcome.timings["context_ms"] = (self._clock.monotonic() - started) * 1000
        if scene.plan.routing is Routing.CLOSING:
            outcome.close()
            emitter.write(farewell(claim.submission.job_id))
        else:
            await self._speak(claim, signal, outcome, emitter, scene)
        self._note_timings(claim, outcome, emitter, started)

    async def _gather_context(self, claim: Claim, outcome: Outcome) -> Scene:
        """Raises PersonaNotFound, PersonaUnavailable, Unavailable. Memory may be away: then without it."""
        submission = claim.submission
        recalling = asyncio.create_task(self._recall(claim))
        looking = asyncio.create_task(self._look_around(claim))
        try:
            outcome.persona, outcome.state = await self._personas.for_turn(
                submission.tenant, claim.persona_id, submission.player_id
            )
            if outcome.state is not None and not outcome.state.is_available:
                raise PersonaUnavailable(outcome.persona.name, cooldown_remaining=outcome.state.cooldown_remaining)
            partner = await self._partner(claim)
            context, seen = await recalling, await looking
        finally:
            recalling.cancel()
            looking.cancel()
        outcome.memory = context.recall
        outcome.score = score_reply(claim, outcome, partner)
        circumstances = circumstances_of(claim)
        plan = CLOSING if circumstances.closing else plan_reply(outcome.score.total if outcome.score else None)
        outcome.routing = plan.routing
        surroundings = " ".join(filter(None, (describe(circumstances, seen, outcome.persona.name), plan.guidance)))
        return Scene(context, plan, surroundings)

    async def _partner(self, claim: Claim) -> Persona | None:
        """The persona that speaks; None: a player does."""
        submission = claim.submission
        partner_id = partner_of(submission.player_id)
        if partner_id is None:
            return None
        persona, _ = await self._personas.for_turn(submission.tenant, partner_id, as_player(claim.persona_id))
        return persona

    async def _look_around(self, claim: Claim) -> Mapping[str, object]:
        try:
            return await self._sights.of_session(claim.submission.tenant, claim.submission.session_id)
        except DomainError as error:
            log.warning("replying without what is to be seen", extra={"code": error.code})
            return {}

    async def _recall(self, claim: Claim) -> ContextResponse:
        submission = claim.submission
        request = ContextRequest(
            persona_id=claim.persona_id,
            player_id=submission.player_id,
            conversation_id=keys.conversation_id(submission.tenant, claim.persona_id, submission.player_id),
            query=storable(submission.message),
            max_turns=MAX_TURNS,
            max_memories=MAX_MEMORIES,
        )
        try:
            return await self._memory.context(submission.tenant, request)
        except DomainError as error:
            log.warning("replying without memory", extra={"code": error.code})
            return NO_CONTEXT

    async def _speak(
        self, claim: Claim, signal: StopSignal, outcome: Outcome, emitter: Emitter, scene: Scene
    ) -> None:
        try:
            outcome.usage = await self._ask_model(claim, signal, outcome, emitter, scene)
        except ModelError as error:
            log.warning("model failed", extra={"reason": error.reason, "detail": error.message})
            if emitter.started:
                outcome.fail(LLM_ERROR, error.message, INTERRUPTED)
            elif outcome.persona is not None:
                outcome.fall_back()
                emitter.write(fallback_line(outcome.persona, claim.submission.job_id))
            return
        if outcome.usage is None:
            _cancel(outcome)
        else:
            outcome.finish_reason = outcome.usage.finish_reason
        outcome.provider = self._model.client.provider

    async def _ask_model(
        self, claim: Claim, signal: StopSignal, outcome: Outcome, emitter: Emitter, scene: Scene
    ) -> Usage | None:
        """None: stopped by the signal."""
        assert outcome.persona is not None
        context = scene.context
        generation = bound(self._limits.generation, scene.plan, claim.submission.token_budget)
        parts = PromptParts(
            persona=outcome.persona,
            state=outcome.state,
            summary=context.summary,
            turns=[turn for turn in context.turns if turn.message_id != claim.submission.user_message_id],
            memories=context.memories,
            message=claim.submission.message,
            now=self._clock.now(),
            surroundings=scene.surroundings,
        )
        assembled = assemble(parts, generation.num_ctx - generation.max_tokens)
        asked_at = self._clock.monotonic()

        def note_first() -> None:
            outcome.timings["model_first_token_ms"] = (self._clock.monotonic() - asked_at) * 1000

        sink = _bounded(emitter, note_first)
        speaking = asyncio.create_task(self._model.generate(assembled.prompt, generation, self._limits.patience, sink))
        try:
            usage = await _until_stopped(speaking, signal)
        except ReplyFull:
            usage = Usage("length", self._model.client.model)
        outcome.timings["model_ms"] = (self._clock.monotonic() - asked_at) * 1000
        return usage

    def _note_timings(self, claim: Claim, outcome: Outcome, emitter: Emitter, started: float) -> None:
        if emitter.first_at is not None:
            outcome.timings["first_token_ms"] = claim.queued_ms + (emitter.first_at - started) * 1000

    async def _finish(
        self, claim: Claim, signal: StopSignal, outcome: Outcome, emitter: Emitter, started: float
    ) -> Finished | None:
        written = Written(emitter.text, emitter.sha256, emitter.seq)
        self._note_timings(claim, outcome, emitter, started)
        turns = turns_to_commit(claim, outcome, written.text, self._clock.now())
        persisted = kept = False
        if turns is not None:
            committing_at = self._clock.monotonic()
            if not await self._may_commit(claim, signal):
                return None
            persisted = await self._commit(claim, turns)
            kept = persisted or await self._spool_turns(claim, turns)
            outcome.timings["commit_ms"] = (self._clock.monotonic() - committing_at) * 1000
        seconds = claim.queued_ms / 1000 + self._clock.monotonic() - started
        end = end_of(claim, outcome, written, seconds=seconds, persisted=persisted)
        remember = kept and outcome.worth_remembering
        return Finished(end, await self._write_end(claim, end, remember=remember))

    async def _may_commit(self, claim: Claim, signal: StopSignal) -> bool:
        try:
            signal.take(await self._queue.renew(claim, committing=True))
        except DomainError as error:
            # Rows are idempotent and the end is fenced: going on can do no harm.
            log.warning("commit not announced", extra={"code": error.code})
        return not signal.lost

    async def _write_end(self, claim: Claim, end: End, *, remember: bool) -> bool:
        for _ in range(BROKER_TRIES):
            try:
                return await self._queue.finish(claim, end, remember=remember)
            except Unavailable as error:
                log.warning("end not written, trying again", extra={"code": error.code})
                await self._sleep(BROKER_PAUSE_SECONDS)
        return await self._queue.finish(claim, end, remember=remember)

    async def _commit(self, claim: Claim, turns: CommitTurns) -> bool:
        try:
            await self._memory.commit(claim.submission.tenant, turns)
        except DomainError as error:
            log.warning("turns not stored", extra={"code": error.code})
            return False
        return True

    async def _spool_turns(self, claim: Claim, turns: CommitTurns) -> bool:
        try:
            await self._spool.put(claim.submission.tenant, turns)
        except DomainError as error:
            log.error("turns lost: neither stored nor spooled", extra={"code": error.code})
            return False
        return True


def _cancel(outcome: Outcome) -> None:
    outcome.ended, outcome.finish_reason = JobState.CANCELLED, "cancelled"


def _restore(outcome: Outcome, row: Turn) -> None:
    """The reply ended before; only its end event is missing."""
    about = row.metadata
    cancelled, failed = (about.get("state") == state for state in (JobState.CANCELLED, JobState.FAILED))
    outcome.ended = JobState.CANCELLED if cancelled else JobState.FAILED if failed else JobState.DONE
    outcome.finish_reason = str(about.get("finish_reason", "stop"))
    outcome.provider = str(about.get("provider", ""))
    if about.get("model"):
        outcome.usage = Usage(outcome.finish_reason, str(about["model"]))
    if outcome.ended is JobState.FAILED:
        outcome.error = (LLM_ERROR, "The reply was interrupted")


def _bounded(emitter: Emitter, note_first: Callable[[], None]) -> TextSink:
    """Writes pieces until the reply is as long as one stored turn may be."""
    room = MAX_CONTENT_BYTES
    first = True

    def take(piece: str) -> None:
        nonlocal room, first
        if first:
            first = False
            note_first()
        size = len(piece) if piece.isascii() else len(piece.encode())
        if size > room:
            emitter.write(piece.encode()[:room].decode(errors="ignore"))
            raise ReplyFull
        room -= size
        emitter.write(piece)

    return take


async def _until_stopped(speaking: asyncio.Task[Usage], signal: StopSignal) -> Usage | None:
    """The model's answer, or None once the signal stops it. Cancelling the task closes the model's connection."""
    stopped = asyncio.create_task(signal.wait())
    try:
        await asyncio.wait((speaking, stopped), return_when=asyncio.FIRST_COMPLETED)
        if speaking.done():
            return speaking.result()
        return None
    finally:
        for task in (speaking, stopped):
            task.cancel()
        await asyncio.gather(speaking, stopped, return_exceptions=True)
