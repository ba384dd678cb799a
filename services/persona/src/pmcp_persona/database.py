"""The service's way to PostgreSQL: named statements, one transaction at a time, refusals in our words.

Knows no rule and no row's meaning. What Postgres refuses becomes a domain error by the constraint's name; what is
unreachable becomes `Unavailable`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Protocol

import asyncpg

from pmcp_common.contracts.errors import Unavailable
from pmcp_common.postgres import read_queries
from pmcp_persona.refusals import REFUSALS

MIGRATIONS = files("pmcp_persona") / "migrations"


class Rows(Protocol):
    """Runs a statement of `queries.sql` by its name: alone, or inside a transaction."""

    async def fetch(self, query: str, *arguments: object) -> Sequence[asyncpg.Record]: ...


class Database:
    """Each `fetch` on a connection of its own."""

    def __init__(self, pool: asyncpg.Pool, *, acquire_timeout_seconds: float) -> None:
        self._pool = pool
        self._acquire_timeout_seconds = acquire_timeout_seconds
        self._queries = read_queries(files("pmcp_persona") / "queries.sql")

    async def fetch(self, query: str, *arguments: object) -> Sequence[asyncpg.Record]:
        async with self.connection() as connection:
            return await connection.fetch(self._queries[query], *arguments)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Rows]:
        """All or nothing; whatever is raised inside undoes it."""
        async with self.connection() as connection, connection.transaction():
            yield _Transaction(connection, self._queries)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Rows]:
        """Every statement sees the same moment; nothing is held, and nothing can be written."""
        async with (
            self.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield _Transaction(connection, self._queries)

    async def check(self) -> None:
        """Returns when Postgres answers."""
        async with self.connection() as connection:
            await connection.execute("SELECT 1")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy]:
        try:
            async with self._pool.acquire(timeout=self._acquire_timeout_seconds) as connection:
                yield connection
        except asyncpg.IntegrityConstraintViolationError as error:
            refusal = REFUSALS.get(error.constraint_name or "")
            if refusal is None:
                raise
            raise refusal() from error
        except _AWAY as error:
            raise Unavailable("The persona database is away", retry_after=1) from error


class _Transaction:
    def __init__(self, connection: asyncpg.pool.PoolConnectionProxy, queries: Mapping[str, str]) -> None:
        self._connection = connection
        self._queries = queries

    async def fetch(self, query: str, *arguments: object) -> Sequence[asyncpg.Record]:
        rows: Sequence[asyncpg.Record] = await self._connection.fetch(self._queries[query], *arguments)
        return rows


_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
)
"""Not reachable, shutting down, over its statement time, out of connections. `InterfaceError` is asyncpg's
word for a connection or pool that closed meanwhile."""
