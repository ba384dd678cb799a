"""The persona service in this process, on a database of its own, with a clock that only moves when told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources.abc import Traversable

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from pmcp_persona.app import build_app
from pmcp_persona.database import MIGRATIONS
from pmcp_persona.settings import PersonaSettings

ARIA = "63465748-61b5-5460-a59e-15a256ef446f"
KIRA = "db5a7bf6-a9e4-51df-beb2-d67e2737195f"


class StillClock:
    def __init__(self) -> None:
        self._now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    def pass_seconds(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Service:
    http: httpx.AsyncClient
    clock: StillClock
    dsn: str
    rows: asyncpg.Connection
    """A connection of the test's own."""


@pytest.fixture
async def dsn(make_database: Callable[[Mapping[str, Traversable]], Awaitable[str]]) -> str:
    return await make_database({"persona": MIGRATIONS})


@pytest.fixture
async def service(dsn: str) -> AsyncIterator[Service]:
    clock = StillClock()
    # Nobody answers there: announcements are hints, and everything works without.
    settings = PersonaSettings(postgres_dsn=SecretStr(dsn), redis_url=SecretStr("redis://127.0.0.1:1/0"))
    app = build_app(settings, clock)
    async with app.router.lifespan_context(app):
        rows = await asyncpg.connect(dsn)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://persona/v1/local/personas") as http:
            yield Service(http, clock, dsn, rows)
        await rows.close()
