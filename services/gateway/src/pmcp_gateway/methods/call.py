"""What every method gets: the call it serves, and the ports of the process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pmcp_common.bus import StreamBus
from pmcp_common.clock import Clock
from pmcp_common.contracts.errors import NoActivePersona
from pmcp_common.peers import MemoryPeer, PersonaPeer
from pmcp_common.queue import JobQueue
from pmcp_gateway.methods.persona_names import PersonaNames
from pmcp_gateway.outbox import Outbox
from pmcp_gateway.protocol import JsonId
from pmcp_gateway.relay import Relay
from pmcp_gateway.stores import Session, SessionStore, WorkerReports
from pmcp_gateway.timestamps import Stamps


@dataclass(frozen=True, slots=True)
class Services:
    gateway_id: str
    queue: JobQueue
    bus: StreamBus
    relay: Relay
    personas: PersonaPeer
    memories: MemoryPeer
    sessions: SessionStore
    reports: WorkerReports
    names: PersonaNames
    clock: Clock
    stamps: Stamps
    new_id: Callable[[], str]
    """A fresh UUID as text."""
    submissions: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(64))
    """A crowd may speak at once; the pool must not open a connection to Redis for each."""


@dataclass(slots=True)
class Connection:
    """What the methods may know of a socket."""

    session: Session
    """Identity only: persona and counts are read from the store, where another gateway may have changed them."""
    outbox: Outbox
    stored: bool = False
    """The session is in Redis."""


@dataclass(frozen=True, slots=True)
class Call:
    connection: Connection
    id: JsonId
    method: str
    request_id: str
    answered: bool = True
    """False for a notification: it is carried out and nothing is sent."""
    persona_id: str | None = None
    """The session's persona, for methods that need one when none is named (`session.PERSONA_NEEDS`)."""

    @property
    def tenant(self) -> str:
        return self.connection.session.tenant

    @property
    def principal(self) -> str:
        return self.connection.session.principal

    @property
    def session_id(self) -> str:
        return self.connection.session.session_id

    def player(self, player_id: str | None) -> str:
        """Whose history and memories are meant: the player named, else the session."""
        return player_id or self.session_id


Handler = Callable[[Services, Call, Any], Awaitable[dict[str, Any] | None]]
"""The parameters are the method's own model. None: the method has sent its frames itself."""


async def ensure_session(services: Services, call: Call) -> None:
    """A socket opened while Redis was away has no session yet."""
    connection = call.connection
    if not connection.stored:
        await services.sessions.save(connection.session)
        connection.stored = True


async def with_persona(services: Services, call: Call) -> Call:
    """The call with the session's persona. Raises NoActivePersona."""
    session = await services.sessions.get(call.tenant, call.session_id)
    if session is None or session.persona_id is None:
        raise NoActivePersona
    return replace(call, persona_id=session.persona_id)
