"""Ports of the gateway to what it keeps and reads in Redis: sessions, and the workers' reports on their models.

Adapters: `sessions_redis`, `reports_redis`. Every method raises `Unavailable` when Redis cannot be reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

SESSION_SECONDS = 86_400
"""A session unused for this long is forgotten (24 h, as existing clients know it)."""
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


class SessionStore(Protocol):
    async def save(self, session: Session) -> None:
        """Create or renew: identity and time of connection; leaves persona and counts that are stored alone."""
        ...

    async def get(self, tenant: str, session_id: str) -> Session | None: ...

    async def set_persona(self, session: Session, persona_id: str, persona_name: str) -> None:
        """Also restores the session's identity, should Redis have lost it."""
        ...


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
