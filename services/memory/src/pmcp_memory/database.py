"""The connection pool as the stores use it: one statement at a time, refusals as domain errors.

Below it: asyncpg. Above it: the stores, which own the statements. What Postgres refuses becomes a domain error by the
constraint's name; a database that does not answer is Unavailable; every other driver error passes through.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg

from pmcp_common.contracts.errors import Conflict, DomainError, InvalidParams, Unavailable

REFUSALS: Mapping[str, str] = {
    "turns_message_id_check": "message_id: 1..200 characters",
    "turns_conversation_id_check": "conversation_id: 1..200 characters",
    "turns_persona_id_check": "persona_id: 1..200 characters",
    "turns_player_id_check": "player_id: 1..200 characters",
    "turns_role_check": "role: user or assistant",
    "turns_content_check": "content: 1..32768 bytes",
    "turns_metadata_check": "metadata: an object",
    "summaries_content_check": "content: 1..32768 bytes",
    "summaries_version_check": "version: at least 1",
    "memories_id_check": "id: 1..200 characters",
    "memories_persona_id_check": "persona_id: 1..200 characters",
    "memories_player_id_check": "player_id: 1..200 characters",
    "memories_content_check": "content: 1..32768 bytes",
    "memories_type_check": "memory_type: lower case letters, digits and _, at most 50",
    "memories_importance_check": "importance: 0..1",
    "memories_initial_importance_check": "importance: 0..1",
    "memories_valence_check": "emotional_valence: -1..1",
    "memories_visibility_check": "visibility: private, shared or public",
    "memories_metadata_check": "metadata: an object",
    "memories_accessed_check": "accessed_count: at least 0",
    "memories_said_by_check": "said_by: player or persona",
}
"""What breaking a rule of the schema means. A unique constraint is a conflict whatever its name."""

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
)
"""Not reachable, shutting down, over its statement time, out of connections. `InterfaceError` is
asyncpg's word for a connection or pool that closed meanwhile."""

_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What work behind the replies expects of the database besides domain errors: a deadlock, say."""

SESSION_SETTINGS: Mapping[str, str] = {
    # Planning a recall takes longer than running it for a small memory; what needs the values is planned anew.
    "plan_cache_mode": "force_generic_plan",
    # A plan made while a table was small reads it through for each row it looks for, until PostgreSQL has statistics of
    # what came since; every statement here has an index to use instead.
    "enable_seqscan": "off",
    # Starting helpers takes longer than they save, and a reply has one core.
    "max_parallel_workers_per_gather": "0",
    # Nearest ten found at 100,000 memories: docs/memory.md.
    "hnsw.ef_search": "400",
    # Filters come after the index: it goes on until enough memories pass them.
    "hnsw.iterative_scan": "relaxed_order",
}
"""Of every connection on the reply path."""

UPKEEP_SETTINGS: Mapping[str, str] = {**SESSION_SETTINGS, "plan_cache_mode": "force_custom_plan"}
"""Of connections for background work, whose statements look at all memories or at a large one."""


class Database:
    def __init__(self, pool: asyncpg.Pool, *, acquire_timeout_seconds: float) -> None:
        self._pool = pool
        self._acquire_timeout_seconds = acquire_timeout_seconds

    async def fetch(self, statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
        async with self.connection() as connection:
            rows: Sequence[asyncpg.Record] = await connection.fetch(statement, *arguments)
            return rows

    async def fetch_planned_anew(self, statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
        """With a plan for these arguments: a plan for any cannot use one player's own index, and mistakes a large
        memory for a mean one."""
        async with self.connection() as connection, connection.transaction(readonly=True):
            await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
            rows: Sequence[asyncpg.Record] = await connection.fetch(statement, *arguments)
            return rows

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        try:
            async with self._pool.acquire(timeout=self._acquire_timeout_seconds) as connection:
                yield connection
        except asyncpg.UniqueViolationError as error:
            raise Conflict("The record exists already") from error
        except asyncpg.CheckViolationError as error:
            rule = REFUSALS.get(error.constraint_name or "")
            if rule is None:
                raise
            raise InvalidParams(rule, field=rule.partition(":")[0]) from error
        except _AWAY as error:
            raise Unavailable("The memory database is away", retry_after=1) from error


@contextmanager
def surviving(log: logging.Logger, outcome: str, **told: object) -> Iterator[None]:
    """For work that is done again later, or is not missed: a refusal or a failing database is logged as `outcome`."""
    try:
        yield
    except DomainError as error:
        log.warning(outcome, extra={**told, "code": error.code})
    except _FAILURES:
        log.warning(outcome, extra=told, exc_info=True)
