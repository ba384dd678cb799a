"""What every method gets: the call it serves, and the ports of the process."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pmcp_common.bus import StreamBus
from pmcp_common.clock import Clock
from pmcp_common.contracts.closing import CloseCode
from pmcp_common.contracts.errors import NoActivePersona, SessionReplaced
from pmcp_common.peers import CharacterPeer, ConversationPeer, KeepingPeer, MemoryPeer, SavesPeer, TendingPeer
from pmcp_common.queue import JobQueue
from pmcp_gateway.methods.persona_names import PersonaNames
from pmcp_gateway.outbox import Outbox
from pmcp_gateway.protocol import JsonId
from pmcp_gateway.recording import Recording
from pmcp_gateway.relay import Relay
from pmcp_gateway.session import WITHOUT_PERSONA
from pmcp_gateway.stores import Session, SessionStore, SightStore, WorkerReports
from pmcp_gateway.talks import Talks
from pmcp_gateway.timestamps import Stamps
from pmcp_gateway.underway import Underway

TOKEN_BYTES = 32
"""256 bits."""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What clients are told of this gateway's bounds."""

    max_in_flight: int = 16
    heartbeat_seconds: float = 12.0
    resume_window_seconds: int = 600
    submit_seconds: float = 0.9
    """Whoever waits longer for a silent broker, or for the others who do, comes back sooner when told to."""


@dataclass(frozen=True, slots=True)
class Services:
    gateway_id: str
    queue: JobQueue
    bus: StreamBus
    relay: Relay
    personas: CharacterPeer
    memories: MemoryPeer
    sessions: SessionStore
    reports: WorkerReports
    names: PersonaNames
    conversations: ConversationPeer
    keeping: KeepingPeer
    tending: TendingPeer
    saves: SavesPeer
    underway: Underway
    talks: Talks
    sights: SightStore
    clock: Clock
    stamps: Stamps
    recording: Recording
    new_id: Callable[[], str]
    """A fresh UUID as text."""
    new_token: Callable[[], str] = lambda: secrets.token_urlsafe(TOKEN_BYTES)
    limits: RequestLimits = field(default_factory=lambda: RequestLimits())
    submissions: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(64))
    """A crowd may speak at once; the pool must not open a connection to Redis for each."""


class Live(Protocol):
    """A reply this socket brings or waits for."""

    stream_id: str
    on_interrupt: str
    attachment: int

    @property
    def head(self) -> int: ...


@dataclass(slots=True)
class Connection:
    """What the methods may know of a socket."""

    session: Session
    """Identity only: persona and counts are read from the store, where another gateway may have changed them."""
    outbox: Outbox
    id: str = ""
    """Names this socket among those of its session."""
    leave: Callable[[CloseCode], None] = lambda _code: None
    """Close the socket once what waits has been sent."""
    stored: bool = False
    """The session is in Redis."""
    unconfirmed: bool = False
    """The session was resumed here, and nobody knows whether the client has its new token."""
    live: dict[int, Live] = field(default_factory=dict)
    """By identity."""
    identifying: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while it is said who the socket is: until then the store may know a newer generation than `session`."""
    resumed: list[Callable[[], None]] = field(default_factory=list)
    """How to stop the resumed streams; those of a request end with it."""

    @contextmanager
    def bringing(self, live: Live) -> Iterator[None]:
        self.live[id(live)] = live
        try:
            yield
        finally:
            self.live.pop(id(live), None)

    async def was_identified_after(self, gen: int) -> bool:
        """Whether this very socket speaks for a newer generation than that by now."""
        async with self.identifying:
            return self.session.gen > gen

    def stop_resumed(self) -> None:
        for stop in self.resumed:
            stop()
        self.resumed.clear()


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


async def ensure_current(services: Services, call: Call) -> None:
    """Raises SessionReplaced when a newer socket speaks for the session, which this one has not heard of yet."""
    session = call.connection.session
    stored = await services.sessions.generation(session.tenant, session.session_id)
    if stored is not None and stored > session.gen:
        raise SessionReplaced


async def with_persona(services: Services, call: Call) -> Call:
    """The call with the session's persona. Raises NoActivePersona."""
    session = await services.sessions.get(call.tenant, call.session_id)
    if session is None or session.persona_id is None:
        told = WITHOUT_PERSONA.get(call.method)
        raise NoActivePersona(told) if told else NoActivePersona
    return replace(call, persona_id=session.persona_id)


async def chosen_persona(services: Services, call: Call, reference: str | None, player: str) -> str:
    """The id of the persona named, else of the active one, which the dispatcher has read. Raises PersonaNotFound."""
    if reference is None:
        return call.persona_id or ""
    return (await services.names.resolve(call.tenant, reference, player))[0]
