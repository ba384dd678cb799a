"""Which persona a reference (id or name, any case) means: a bounded, short-lived memory of the persona service's word.

Short-lived, because a persona may be renamed or deleted; the worker reads the persona itself anew for each reply.
"""

from __future__ import annotations

from collections import OrderedDict

from pmcp_common.clock import Clock
from pmcp_common.peers import PersonaPeer

LIFETIME_SECONDS = 5.0
MAX_ENTRIES = 1000


class PersonaNames:
    def __init__(self, personas: PersonaPeer, clock: Clock) -> None:
        self._personas = personas
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], tuple[float, str, str]] = OrderedDict()

    async def resolve(self, tenant: str, reference: str, player_id: str) -> tuple[str, str]:
        """Id and name. Raises PersonaNotFound (which is not remembered)."""
        key = (tenant, reference.lower())
        now = self._clock.monotonic()
        entry = self._known.get(key)
        if entry is not None and now - entry[0] < LIFETIME_SECONDS:
            return entry[1], entry[2]
        persona = (await self._personas.get(tenant, reference, player_id)).persona
        self._known[key] = (now, persona.id, persona.name)
        self._known.move_to_end(key)
        if len(self._known) > MAX_ENTRIES:
            self._known.popitem(last=False)
        return persona.id, persona.name

    def forget(self, tenant: str, persona_id: str) -> None:
        """It was renamed or deleted."""
        for key, entry in list(self._known.items()):
            if key[0] == tenant and entry[1] == persona_id:
                del self._known[key]

    def forget_all(self) -> None:
        self._known.clear()
