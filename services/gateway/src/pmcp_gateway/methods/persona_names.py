"""Which persona a reference (id or name, any case) means: a bounded, short-lived memory of the persona service's word.

Short-lived, because a persona may be renamed or deleted; the worker reads the persona itself anew for each reply.
While the service is away its last word counts, or that of the workers' copies: a message must not be refused for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from pmcp_common.clock import Clock
from pmcp_common.contracts.errors import PERSONA_NOT_FOUND, UNAVAILABLE, DomainError, Unavailable
from pmcp_common.peers import PersonaPeer

log = logging.getLogger(__name__)

LIFETIME_SECONDS = 5.0
PATIENCE_SECONDS = 0.5
"""How long a message waits for a newer word where there is an older one: within a second it is refused or taken."""
MAX_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class PersonaName:
    id: str
    name: str


class PersonaCopies(Protocol):
    """Port: the copies of personas that the workers keep for an outage. Raises Unavailable.
    Adapter: `persona_copies_redis`."""

    async def find(self, tenant: str, reference: str) -> PersonaName | None:
        """By id or name, in any case."""
        ...


class PersonaNames:
    def __init__(
        self,
        personas: PersonaPeer,
        clock: Clock,
        copies: PersonaCopies | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._personas = personas
        self._clock = clock
        self._copies = copies
        self._patience = patience
        self._known: OrderedDict[tuple[str, str], tuple[float, PersonaName]] = OrderedDict()
        """With the time until which nobody is asked again."""

    async def resolve(self, tenant: str, reference: str, player_id: str) -> tuple[str, str]:
        """Id and name. Raises PersonaNotFound (which is not remembered); Unavailable for one never heard of."""
        key = (tenant, reference.lower())
        entry = self._known.get(key)
        if entry is not None and self._clock.monotonic() < entry[0]:
            return entry[1].id, entry[1].name
        try:
            found = await self._ask(tenant, reference, player_id, self._patience if entry is not None else None)
        except DomainError as error:
            if error.code == PERSONA_NOT_FOUND.code:
                self._known.pop(key, None)
            if error.code != UNAVAILABLE.code:
                raise
            # Read again: it may have been told meanwhile that the persona is gone.
            entry = self._known.get(key)
            last = entry[1] if entry is not None else await self._copy(tenant, reference)
            if last is None:
                raise
            found = last
        self._keep(key, found)
        return found.id, found.name

    async def _ask(self, tenant: str, reference: str, player_id: str, patience: float | None) -> PersonaName:
        try:
            async with asyncio.timeout(patience):
                persona = (await self._personas.get(tenant, reference, player_id)).persona
        except TimeoutError as error:
            raise Unavailable("persona service") from error
        return PersonaName(persona.id, persona.name)

    async def _copy(self, tenant: str, reference: str) -> PersonaName | None:
        try:
            return None if self._copies is None else await self._copies.find(tenant, reference)
        except DomainError as error:
            log.warning("no copy of the persona", extra={"code": error.code})
            return None

    def _keep(self, key: tuple[str, str], found: PersonaName) -> None:
        # Also after an outage's word: each message would wait for the service's time-out otherwise.
        self._known[key] = (self._clock.monotonic() + LIFETIME_SECONDS, found)
        self._known.move_to_end(key)
        if len(self._known) > MAX_ENTRIES:
            self._known.popitem(last=False)

    def forget(self, tenant: str, persona_id: str) -> None:
        """It was renamed or deleted."""
        for key, (_, found) in list(self._known.items()):
            if key[0] == tenant and found.id == persona_id:
                del self._known[key]

    def doubt_all(self) -> None:
        """Any of them may have been renamed or deleted: each is asked for anew, as far as there is somebody to ask."""
        for key, (_, found) in self._known.items():
            self._known[key] = (float("-inf"), found)
