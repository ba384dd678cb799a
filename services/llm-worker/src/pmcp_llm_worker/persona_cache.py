"""Personas by version: a copy of one version never changes, so only the interaction state is asked for each reply.

While the persona service is away a copy answers: this process's own, or the one that all workers share.
"""

from __future__ import annotations

from collections import OrderedDict

from pmcp_common.contracts.errors import PERSONA_NOT_FOUND, UNAVAILABLE, DomainError, InternalError
from pmcp_common.contracts.personas import InteractionState, Persona
from pmcp_common.peers import PersonaPeer
from pmcp_llm_worker.persona_shelf import Copies, PersonaShelf

MAX_PERSONAS = 1000


class PersonaCache:
    def __init__(
        self, peer: PersonaPeer, shelf: PersonaShelf | None = None, *, max_personas: int = MAX_PERSONAS
    ) -> None:
        self._peer = peer
        self._copies = Copies(shelf)
        self._max_personas = max_personas
        self._known: OrderedDict[tuple[str, str], Persona] = OrderedDict()

    async def for_turn(self, tenant: str, persona_id: str, player_id: str) -> tuple[Persona, InteractionState | None]:
        """The persona now, and how it stands towards the player: None when the service is away and a copy is there.

        Raises PersonaNotFound, Unavailable.
        """
        persona, state, _ = await self.with_bond(tenant, persona_id, player_id)
        return persona, state

    async def with_bond(
        self, tenant: str, persona_id: str, player_id: str
    ) -> tuple[Persona, InteractionState | None, float | None]:
        """Also how well the two get on, 0..1; None when they never met."""
        known = self._known.get((tenant, persona_id))
        try:
            context = await self._peer.turn_context(tenant, persona_id, player_id, known.version if known else None)
            if context.persona is None and (known is None or known.version != context.version):
                context = await self._peer.turn_context(tenant, persona_id, player_id, None)
        except DomainError as error:
            known = await self._instead(tenant, persona_id, error)
            if known is None:
                raise
            return known, None, None
        persona = context.persona or known
        if persona is None:
            raise InternalError("The persona service sent no persona")
        self._keep((tenant, persona_id), persona)
        if context.persona is not None:
            await self._copies.put(tenant, persona)
        return persona, context.interaction_state, context.compatibility

    async def _instead(self, tenant: str, persona_id: str, error: DomainError) -> Persona | None:
        """A copy, when the service is away or without its database; what it says it does not have is forgotten."""
        key = (tenant, persona_id)
        if error.code == PERSONA_NOT_FOUND.code:
            self._known.pop(key, None)
            await self._copies.drop(tenant, persona_id)
        if error.code != UNAVAILABLE.code:
            return None
        copy = self._known.get(key) or await self._copies.get(tenant, persona_id)
        if copy is not None:
            self._keep(key, copy)
        return copy

    def known(self, tenant: str, persona_id: str) -> Persona | None:
        """As last seen; None when it was never read here, or too long ago."""
        return self._known.get((tenant, persona_id))

    def _keep(self, key: tuple[str, str], persona: Persona) -> None:
        self._known[key] = persona
        self._known.move_to_end(key)
        while len(self._known) > self._max_personas:
            self._known.popitem(last=False)
