"""All that one reply is made of besides its message: persona and standing, memory, what is to be seen, and the plan.

Read in parallel, on the reply path. Only the persona is indispensable: memory may be away.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import PERSONA_NOT_FOUND, CurrentPersonaNotFound, DomainError, PersonaUnavailable
from pmcp_common.contracts.jobs import Claim
from pmcp_common.contracts.memories import ContextRequest, ContextResponse
from pmcp_common.contracts.personas import Persona
from pmcp_common.contracts.talks import as_player, partner_of
from pmcp_common.peers import MemoryPeer
from pmcp_common.turn_rows import circumstances_of, storable
from pmcp_llm_worker.persona_cache import PersonaCache
from pmcp_llm_worker.reply_plan import CLOSING, ReplyPlan, plan_reply
from pmcp_llm_worker.surroundings import describe
from pmcp_llm_worker.turn_outcome import Outcome, score_reply

log = logging.getLogger(__name__)

MAX_MEMORIES = 5
NO_CONTEXT = ContextResponse(turns=(), summary=None, memories=(), recall="unavailable")


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a reply is made of besides the persona and the message."""

    context: ContextResponse
    plan: ReplyPlan
    surroundings: str


class SceneReader:
    def __init__(self, personas: PersonaCache, memory: MemoryPeer, prompt_turns: int) -> None:
        self._prompt_turns = prompt_turns
        self._personas = personas
        self._memory = memory

    async def gather(
        self, claim: Claim, outcome: Outcome, *, patience_seconds: float | None = None, going_on: bool = False
    ) -> Scene:
        """Raises PersonaNotFound, PersonaUnavailable, Unavailable. Memory may be away: then without it.

        `patience_seconds`: for memory; None: its own time-out. `going_on`: the persona has begun to
        speak, so it does not matter that it would not begin now.
        """
        recalling = asyncio.create_task(self._recall(claim, patience_seconds))
        try:
            await self._look_up(claim, outcome)
            assert outcome.persona is not None
            if outcome.state is not None and not outcome.state.is_available and not going_on:
                raise PersonaUnavailable(outcome.persona.name, cooldown_remaining=outcome.state.cooldown_remaining)
            partner = await self._partner(claim)
            context = await recalling
        finally:
            recalling.cancel()
        outcome.memory = context.recall
        outcome.score = score_reply(claim, outcome, partner, context.turns)
        circumstances = circumstances_of(claim)
        plan = CLOSING if circumstances.closing else plan_reply(outcome.score.total if outcome.score else None)
        outcome.routing = plan.routing
        surroundings = " ".join(
            filter(None, (describe(circumstances, claim.sights, outcome.persona.name), plan.guidance))
        )
        return Scene(context, plan, surroundings)

    async def _look_up(self, claim: Claim, outcome: Outcome) -> None:
        submission = claim.submission
        try:
            outcome.persona, outcome.state, outcome.compatibility = await self._personas.with_bond(
                submission.tenant, claim.persona_id, submission.player_id
            )
        except DomainError as error:
            if error.row is PERSONA_NOT_FOUND and submission.persona_id is None:
                raise CurrentPersonaNotFound(claim.persona_id) from None
            raise

    async def _partner(self, claim: Claim) -> Persona | None:
        """The persona that speaks; None: a player does."""
        submission = claim.submission
        partner_id = partner_of(submission.player_id)
        if partner_id is None:
            return None
        persona, _ = await self._personas.for_turn(submission.tenant, partner_id, as_player(claim.persona_id))
        return persona

    async def _recall(self, claim: Claim, patience_seconds: float | None) -> ContextResponse:
        submission = claim.submission
        request = ContextRequest(
            persona_id=claim.persona_id,
            player_id=submission.player_id,
            conversation_id=keys.conversation_id(submission.tenant, claim.persona_id, submission.player_id),
            query=storable(submission.message),
            max_turns=self._prompt_turns,
            max_memories=MAX_MEMORIES,
        )
        try:
            async with asyncio.timeout(patience_seconds):
                return await self._memory.context(submission.tenant, request)
        except (DomainError, TimeoutError) as error:
            log.warning("replying without memory", extra={"error": type(error).__name__})
            return NO_CONTEXT
