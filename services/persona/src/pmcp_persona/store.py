"""The rows of the schema `persona`: personas, and how each stands towards each player.

Owns every statement (`queries.sql`) and turns what Postgres refuses into domain errors by the constraint's
name. Above it stand the API's use cases; it decides no rule of personas. Each call names the tenant; rows of
another tenant do not exist for it. Reads write nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from pmcp_common.contracts.errors import Conflict, DomainError, InvalidParams, PersonaNotFound, Unavailable
from pmcp_common.contracts.personas import Persona, Priority
from pmcp_common.postgres import read_queries
from pmcp_persona.interaction import Standing

MIGRATIONS = files("pmcp_persona") / "migrations"

# A repeat comes soon after its first delivery, and the turns of one player with one persona come one by one:
# many more newer ones than this cannot lie between.
REMEMBERED_INTERACTIONS = 32
# Writers of one row are a repeated delivery or two; each lost race means that another writer has finished.
_WRITE_ATTEMPTS = 16

REFUSALS: dict[str, Callable[[], DomainError]] = {
    "personas_pkey": lambda: Conflict("A persona with this id exists"),
    "personas_name_key": lambda: Conflict("A persona with this name exists"),
    "personas_id_check": lambda: InvalidParams("id: 1..200 characters, no capitals", field="id"),
    "personas_name_check": lambda: InvalidParams("name: 1..200 characters", field="name"),
    "personas_version_check": lambda: InvalidParams("version: at least 1", field="version"),
    "personas_traits_check": lambda: InvalidParams("personality_traits: an object", field="personality_traits"),
    "personas_topics_check": lambda: InvalidParams(
        "topic_preferences: an object of whole numbers 0..100", field="topic_preferences"
    ),
    "personas_charisma_check": lambda: InvalidParams("charisma: 1..20", field="charisma"),
    "personas_intelligence_check": lambda: InvalidParams("intelligence: 1..20", field="intelligence"),
    "personas_priority_check": lambda: InvalidParams("priority: not one of the seven", field="priority"),
    "personas_energy_check": lambda: InvalidParams("energy: 0..200", field="energy"),
    "personas_available_time_check": lambda: InvalidParams(
        "available_time: at least 0 seconds", field="available_time"
    ),
    "interaction_states_pkey": lambda: Conflict("This interaction state exists"),
    "interaction_states_persona_fkey": lambda: Conflict("The persona was deleted meanwhile"),
    "interaction_states_interest_check": lambda: InvalidParams("interest_level: 0..100", field="interest_level"),
    "interaction_states_fatigue_check": lambda: InvalidParams(
        "interaction_fatigue: at least 0", field="interaction_fatigue"
    ),
    "interaction_states_priority_check": lambda: InvalidParams(
        "current_priority: not one of the seven", field="current_priority"
    ),
    "interaction_states_time_check": lambda: InvalidParams(
        "available_time: at least 0 seconds", field="available_time"
    ),
    "interaction_states_energy_check": lambda: InvalidParams("social_energy: 0..200", field="social_energy"),
}
"""What the refusal of each constraint of the schema means."""


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """A persona and its standing towards the player asked about; `standing` is None when they never met."""

    persona: Persona
    standing: Standing | None
    recent_interactions: tuple[str, ...]
    revision: int


class PersonaStore:
    def __init__(self, pool: asyncpg.Pool, *, acquire_timeout_seconds: float) -> None:
        self._pool = pool
        self._acquire_timeout_seconds = acquire_timeout_seconds
        self._queries = read_queries(files("pmcp_persona") / "queries.sql")

    async def list_all(self, tenant: str, player_id: str) -> tuple[Acquaintance, ...]:
        """By name."""
        rows = await self._fetch("list_personas", tenant, player_id)
        return tuple(_acquaintance(row) for row in rows)

    async def find(self, tenant: str, reference: str, player_id: str) -> Acquaintance:
        """By id or name, case-insensitive. Raises PersonaNotFound."""
        rows = await self._fetch("find_persona", tenant, player_id, reference)
        if not rows:
            raise PersonaNotFound(reference)
        return _acquaintance(rows[0])

    async def apply_interaction(
        self,
        tenant: str,
        reference: str,
        player_id: str,
        interaction_id: str,
        change: Callable[[Acquaintance], Standing],
    ) -> Acquaintance:
        """Store what `change` makes of the present standing, once for each `interaction_id`; a repeat returns
        the standing as it is. `change` may be called again when another writer was faster."""
        for _ in range(_WRITE_ATTEMPTS):
            found = await self.find(tenant, reference, player_id)
            if interaction_id in found.recent_interactions:
                return found
            changed = Acquaintance(
                found.persona,
                change(found),
                (*found.recent_interactions, interaction_id)[-REMEMBERED_INTERACTIONS:],
                found.revision,
            )
            if await self._write(tenant, player_id, changed):
                return changed
        raise Unavailable("Too many interactions of this player are being stored at once", retry_after=1)

    async def _write(self, tenant: str, player_id: str, changed: Acquaintance) -> bool:
        standing = changed.standing
        assert standing is not None
        rows = await self._fetch(
            "write_standing",
            tenant,
            changed.persona.id,
            player_id,
            standing.interest_level,
            standing.interaction_fatigue,
            standing.current_priority.value,
            standing.available_seconds,
            standing.social_energy,
            standing.cooldown_until,
            standing.last_updated,
            changed.recent_interactions,
            changed.revision,
        )
        return bool(rows)

    async def check(self) -> None:
        """Returns when Postgres answers."""
        async with self._connection() as connection:
            await connection.execute("SELECT 1")

    async def _fetch(self, query: str, *arguments: object) -> Sequence[asyncpg.Record]:
        async with self._connection() as connection:
            return await connection.fetch(self._queries[query], *arguments)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy]:
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


def _acquaintance(row: asyncpg.Record) -> Acquaintance:
    met = row["revision"] is not None
    return Acquaintance(
        persona=_persona(row),
        standing=_standing(row) if met else None,
        recent_interactions=tuple(row["recent_interactions"]) if met else (),
        revision=row["revision"] if met else 0,
    )


def _persona(row: asyncpg.Record) -> Persona:
    return Persona(**{name: row[name] for name in Persona.model_fields})


def _standing(row: asyncpg.Record) -> Standing:
    return Standing(
        interest_level=row["interest_level"],
        interaction_fatigue=row["interaction_fatigue"],
        current_priority=Priority(row["current_priority"]),
        available_seconds=row["available_seconds"],
        social_energy=row["social_energy"],
        cooldown_until=row["cooldown_until"],
        last_updated=row["last_updated"],
    )
