"""Ports of the gateway to what it keeps and reads in Redis: sessions, and the workers' reports on their models.

Adapters: `sessions_redis`, `reports_redis`. Every method raises `Unavailable` when Redis cannot be reached.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

SESSION_SECONDS = 86_400
"""A session unused for this long is forgotten (24 h, as existing clients know it)."""
RETRY_SECONDS = 180.0
"""How long a resume can be repeated with the same token: its answer, with the next token, may have been lost."""
REPORT_SECONDS = 30.0
"""A worker that has not reported for this long is taken for dead."""


@dataclass(frozen=True, slots=True)
class Session:
    tenant: str
    session_id: str
    principal: str
    connected_at: str
    """ISO-8601, UTC."""
    persona_id: str | None = None
    persona_name: str | None = None
    message_count: int = 0
    gen: int = 0
    """Grows with each open and resume; 0: cannot be resumed. The newest socket speaks for the session."""


class SessionStore(Protocol):
    async def save(self, session: Session) -> None:
        """Create or renew: identity and time of connection; leaves persona and counts that are stored alone."""
        ...

    async def get(self, tenant: str, session_id: str) -> Session | None: ...

    async def set_persona(self, session: Session, persona_id: str, persona_name: str) -> None:
        """Also restores the session's identity, should Redis have lost it.

        This and `leave_persona` raise SessionReplaced when a newer socket speaks for the session.
        """
        ...

    async def leave_persona(self, session: Session, *, anew: bool = False) -> None:
        """The session talks to nobody; `anew`: and nothing was said in it."""
        ...

    async def open(self, session: Session, token_hash: str, gateway_id: str) -> Session:
        """Make the session resumable with this token; every earlier token is void. The session with its `gen`.

        Raises SessionReplaced when another socket has resumed it since then.
        """
        ...

    async def resume(
        self, session: Session, leaving: Session, shown: str, next_token: str, gateway_id: str, holder: str
    ) -> Session:
        """Take the session over: `shown` and `next_token` are hashes; tells the gateway of the older socket.

        `session` names tenant, principal and session id; `leaving`, the socket's own until now, is forgotten when it
        was never opened. The token shown stays good for RETRY_SECONDS, or until
        `confirm`. Raises SessionExpired (unknown or foreign too) and SessionRefused (wrong token).
        """
        ...

    async def confirm(self, session: Session) -> int | None:
        """The client has its new token: the one before is void. The stored `gen`; None: no resumable session."""
        ...

    async def generation(self, tenant: str, session_id: str) -> int | None:
        """As stored now; None: no resumable session is."""
        ...

    def replacements(self, gateway_id: str) -> AsyncIterator[Replacement]:
        """Hints for the sockets of this gateway; a lost one is made up for by `gen`, at the next message or ping."""
        ...


@dataclass(frozen=True, slots=True)
class Replacement:
    """Sockets of this session below `gen` are to be closed; `holder` is the connection that replaced them."""

    session_id: str
    gen: int
    holder: str


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What one worker last saw at its model server."""

    provider: str
    current_model: str | None
    available_models: tuple[str, ...]
    ok: bool
    reason: str | None
    seen_at_ms: int
    last_answered_model: str | None


class WorkerReports(Protocol):
    async def models(self, tenant: str, now_ms: int) -> tuple[ModelReport, ...]:
        """Reports younger than REPORT_SECONDS, newest first."""
        ...

    async def active_conversations(self, tenant: str, since_ms: int) -> int:
        """Conversations with a message since then."""
        ...


class SightStore(Protocol):
    """What a session's player sees, by kind. Adapter: `sights_redis`."""

    @property
    def keep_seconds(self) -> int: ...

    async def kinds(self, tenant: str, session_id: str) -> list[str]: ...

    async def put(self, tenant: str, session_id: str, kind: str, seen: Mapping[str, Any]) -> None:
        """Nothing seen: the kind is dropped."""
        ...

    async def clear(self, tenant: str, session_id: str) -> None: ...
