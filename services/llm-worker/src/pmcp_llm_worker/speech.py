"""The words of one reply: prompt → model → emitter, in the time its client has, and on from where it broke off.

Above it: `chat_turn`. Below it: the model, through `model_retry`. Rules: after the first word there is only the
continuation, once, never from the start; what was said is not said again; a reply that a fault cut off is not done.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

from pmcp_common.clock import Clock
from pmcp_common.contracts.ends import TOO_LATE
from pmcp_common.contracts.errors import LLM_ERROR
from pmcp_common.contracts.jobs import Claim
from pmcp_common.contracts.memories import MAX_CONTENT_BYTES
from pmcp_llm_worker.emitter import Emitter
from pmcp_llm_worker.leases import StopSignal
from pmcp_llm_worker.model import Generation, ModelError, ModelStalled, Patience, Prompt, Usage
from pmcp_llm_worker.model_retry import RetryingModel
from pmcp_llm_worker.prompt import MAX_TURNS, PromptParts, assemble
from pmcp_llm_worker.reply_plan import bound
from pmcp_llm_worker.rungs import Pace, Rung, TimePlan, plan_time
from pmcp_llm_worker.scene import Scene
from pmcp_llm_worker.seam import Seam
from pmcp_llm_worker.turn_outcome import INTERRUPTED, Outcome, count_tokens, fallback_line

log = logging.getLogger(__name__)

LENGTH = "length"


@dataclass(frozen=True, slots=True)
class ReplyLimits:
    generation: Generation
    patience: Patience
    prompt_turns: int = MAX_TURNS
    """The newest messages, word by word."""


class ReplyFull(Exception):
    """The reply is as long as a stored turn may be; the model is stopped there."""


class OutOfTime(Exception):
    """The client's deadline is here, or too near for another word."""


class Speech:
    def __init__(self, model: RetryingModel, clock: Clock, limits: ReplyLimits) -> None:
        self._model = model
        self._clock = clock
        self._limits = limits
        self._pace = Pace(clock)

    async def speak(self, claim: Claim, signal: StopSignal, outcome: Outcome, emitter: Emitter, scene: Scene) -> None:
        """Fills the emitter and says in `outcome` how it ended. Goes on from what was shown, if anything."""
        outcome.provider = self._model.client.provider
        generation = bound(self._limits.generation, scene.plan, claim.submission.token_budget)
        try:
            outcome.usage = await self._say_with_continuation(claim, signal, outcome, emitter, scene, generation)
        except ModelError as error:
            if emitter.started:
                outcome.fail(LLM_ERROR, error.message, INTERRUPTED)
            else:
                say_canned(claim, outcome, emitter, error.message)
            return
        except OutOfTime:
            if not emitter.started:
                say_canned(claim, outcome, emitter, TOO_LATE)
                return
            outcome.rung, outcome.usage = Rung.SHORTENED, self._cut()
        if outcome.usage is None:
            outcome.cancel()
        else:
            outcome.finish_reason = outcome.usage.finish_reason

    async def _say_with_continuation(
        self,
        claim: Claim,
        signal: StopSignal,
        outcome: Outcome,
        emitter: Emitter,
        scene: Scene,
        generation: Generation,
    ) -> Usage | None:
        """None: stopped by the signal. A stalled model has cost the time-out already and is not asked again."""
        for continued in (False, True):
            try:
                return await self._say(claim, signal, outcome, emitter, scene, generation)
            except ModelError as error:
                log.warning("model failed", extra={"reason": error.reason, "detail": error.message})
                if continued or not emitter.started or isinstance(error, ModelStalled):
                    raise
        raise AssertionError("unreachable: the second try returns or raises")

    async def _say(
        self,
        claim: Claim,
        signal: StopSignal,
        outcome: Outcome,
        emitter: Emitter,
        scene: Scene,
        generation: Generation,
    ) -> Usage | None:
        said = emitter.written
        outcome.said_tokens = count_tokens(said)
        wanted = generation.max_tokens - outcome.said_tokens
        if wanted <= 0:
            return self._cut()
        plan = self._plan(outcome, wanted)
        prompt = self._prompt(claim, outcome, scene, generation, said)
        mouth = _Mouth(emitter, said, self._clock)
        asked_at = self._clock.monotonic()
        asked = replace(generation, max_tokens=plan.max_tokens)
        speaking = asyncio.create_task(self._model.generate(prompt, asked, self._limits.patience, mouth.take))
        try:
            usage = await until_stopped(speaking, signal, plan.seconds)
            mouth.end()
        except ReplyFull:
            usage = self._cut()
        self._note(outcome, mouth, asked_at, usage)
        return usage

    def _plan(self, outcome: Outcome, wanted: int) -> TimePlan:
        left = None if outcome.due is None else outcome.due - self._clock.monotonic()
        plan = plan_time(left, wanted, self._pace)
        if plan.rung is Rung.CANNED:
            raise OutOfTime
        outcome.rung = plan.rung
        return plan

    def _prompt(self, claim: Claim, outcome: Outcome, scene: Scene, generation: Generation, said: str) -> Prompt:
        assert outcome.persona is not None
        context = scene.context
        parts = PromptParts(
            persona=outcome.persona,
            state=outcome.state,
            summary=context.summary,
            turns=[turn for turn in context.turns if turn.message_id != claim.submission.user_message_id],
            memories=context.memories,
            message=claim.submission.message,
            now=self._clock.now(),
            surroundings=scene.surroundings,
            max_turns=self._limits.prompt_turns,
        )
        # What was said is part of the reply, for which the window keeps its place.
        return replace(assemble(parts, generation.num_ctx - generation.max_tokens).prompt, said=said)

    def _note(self, outcome: Outcome, mouth: _Mouth, asked_at: float, usage: Usage | None) -> None:
        seconds = self._clock.monotonic() - asked_at
        outcome.timings["model_ms"] = seconds * 1000
        if mouth.first_at is None:
            return
        first_seconds = mouth.first_at - asked_at
        outcome.timings["model_first_token_ms"] = first_seconds * 1000
        if usage is not None and usage.output_tokens is not None:
            self._pace.note(first_seconds, seconds, usage.output_tokens)

    def _cut(self) -> Usage:
        return Usage(LENGTH, self._model.client.model)


def say_canned(claim: Claim, outcome: Outcome, emitter: Emitter, reason: str) -> None:
    outcome.fall_back(reason)
    emitter.write(fallback_line(outcome.persona, claim.submission.job_id))


class _Mouth:
    """Takes the model's pieces: joins them to what was said, and stops when one stored turn can hold no more."""

    def __init__(self, emitter: Emitter, said: str, clock: Clock) -> None:
        self.first_at: float | None = None
        self._write = emitter.write
        self._room = MAX_CONTENT_BYTES - len(said.encode())
        self._seam = Seam(said)
        self._clock = clock

    def take(self, piece: str) -> None:
        if self.first_at is None:
            self.first_at = self._clock.monotonic()
        self._put(self._seam.feed(piece))

    def end(self) -> None:
        """No more comes: what was held back at the seam is due."""
        self._put(self._seam.end())

    def _put(self, text: str) -> None:
        if not text:
            return
        size = len(text) if text.isascii() else len(text.encode())
        if size > self._room:
            self._write(text.encode()[: self._room].decode(errors="ignore"))
            raise ReplyFull
        self._room -= size
        self._write(text)


async def until_stopped(speaking: asyncio.Task[Usage], signal: StopSignal, seconds: float | None) -> Usage | None:
    """The model's answer, or None once the signal stops it. Cancelling the task closes the model's connection.

    Raises OutOfTime after `seconds`.
    """
    stopped = asyncio.create_task(signal.wait())
    try:
        await asyncio.wait((speaking, stopped), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if speaking.done():
            return speaking.result()
        if stopped.done():
            return None
        raise OutOfTime
    finally:
        for task in (speaking, stopped):
            task.cancel()
        await asyncio.gather(speaking, stopped, return_exceptions=True)
