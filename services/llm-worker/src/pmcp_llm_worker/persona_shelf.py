"""Port: the last seen copy of each persona, shared by all workers, for the time while the persona service is away.

Nothing depends on it: a shelf that cannot be reached is an empty one. Adapter: `persona_shelf_redis`.
"""

from __future__ import annotations

import logging
from typing import Protocol

from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.personas import Persona

log = logging.getLogger(__name__)


class PersonaShelf(Protocol):
    """Raises Unavailable."""

    async def put(self, tenant: str, persona: Persona) -> None: ...

    async def get(self, tenant: str, persona_id: str) -> Persona | None: ...

    async def drop(self, tenant: str, persona_id: str) -> None: ...


class Copies:
    """A shelf that never fails; None: there is none."""

    def __init__(self, shelf: PersonaShelf | None) -> None:
        self._shelf = shelf

    async def put(self, tenant: str, persona: Persona) -> None:
        try:
            if self._shelf is not None:
                await self._shelf.put(tenant, persona)
        except DomainError as error:
            log.warning("persona not shared with the other workers", extra={"code": error.code})

    async def get(self, tenant: str, persona_id: str) -> Persona | None:
        try:
            return None if self._shelf is None else await self._shelf.get(tenant, persona_id)
        except DomainError as error:
            log.warning("no copy of the persona", extra={"code": error.code})
            return None

    async def drop(self, tenant: str, persona_id: str) -> None:
        try:
            if self._shelf is not None:
                await self._shelf.drop(tenant, persona_id)
        except DomainError as error:
            log.warning("copy of a deleted persona left behind", extra={"code": error.code})
