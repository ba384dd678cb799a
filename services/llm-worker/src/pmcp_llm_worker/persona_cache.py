"""Personas by version: a copy of one version never changes, so only the interaction state is asked for each reply."""

from __future__ import annotations

from collections import OrderedDict

from pmcp_common.contracts.errors import InternalError, Unavailable
from pmcp_common.contracts.personas import InteractionState, Persona
from pmcp_common.peers import PersonaPeer

MAX_PERSONAS = 1000


class PersonaCache:
    def __init__(self, peer: PersonaPeer, *, max_personas: int = MAX_PERSONAS) -> None:
        self._peer = peer
        self._max_personas = max_personas
        self._known: OrderedDict[tuple[str, str], Persona] = OrderedDict()

    async def for_turn(self, tenant: str, persona_id: str, player_id: str) -> tuple[Persona, InteractionState | None]:
        """The persona now, and how it stands towards the player: None when the service is away and the persona known.

        Raises PersonaNotFound, Unavailable.
        """
        known = self._known.get((tenant, persona_id))
        try:
            context = await self._peer.turn_context(tenant, persona_id, player_id, known.version if known else None)
            if context.persona is None and (known is None or known.version != context.version):
                context = await self._peer.turn_context(tenant, persona_id, player_id, None)
        except Unavailable:
            if known is None:
                raise
            return known, None
        persona = context.persona or known
        if persona is None:
            raise InternalError("The persona service sent no persona")
        self._keep((tenant, persona_id), persona)
        return persona, context.interaction_state

    def known(self, tenant: str, persona_id: str) -> Persona | None:
        """As last seen; None when it was never read here, or too long ago."""
        return self._known.get((tenant, persona_id))

    def _keep(self, key: tuple[str, str], persona: Persona) -> None:
        self._known[key] = persona
        self._known.move_to_end(key)
        while len(self._known) > self._max_personas:
            self._known.popitem(last=False)
