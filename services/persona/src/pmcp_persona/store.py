"""The rows of personas, and how each stands towards each player.

Above it stand the API's use cases; it decides no rule of personas. Each call names the tenant; rows of another
tenant do not exist for it. Reads write nothing. A deleted persona is kept and not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from pydantic import ValidationError

from pmcp_common.contracts.errors import Conflict, InvalidParams, PersonaNotFound, Unavailable
from pmcp_common.contracts.personas import Persona, PersonaChange, PersonaDeleted, PersonaDraft, Priority
from pmcp_persona.database import Database, Rows
from pmcp_persona.interaction import Standing
from pmcp_persona.relationship import Bond
from pmcp_persona.relationship_rows import bond_of

# A repeat comes soon after its first delivery, and the turns of one player with one persona come one by one:
# many more newer ones than this cannot lie between.
REMEMBERED_INTERACTIONS = 32
WORLD = ""
"""Stands for everybody where a player is named: no client can send an empty id."""

_WRITTEN = (
    "name",
    "full_name",
    "description",
    "personality_traits",
    "topic_preferences",
    "charisma",
    "intelligence",
    "social_rank",
    "priority",
    "energy",
    "available_time",
    "background",
    "backstory",
    "speaking_style",
    "interests",
    "goals",
    "extras",
    "fallback_lines",
)
"""Columns a client sets, in the order of the statements."""


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """A persona and its standing towards the player asked about; `standing` is None when they never met."""

    persona: Persona
    standing: Standing | None
    recent_interactions: tuple[str, ...]
    revision: int


class PersonaStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_all(self, tenant: str, player_id: str) -> tuple[Acquaintance, ...]:
        """By name."""
        rows = await self._database.fetch("list_personas", tenant, player_id)
        return tuple(_acquaintance(row) for row in rows)

    async def find(self, tenant: str, reference: str, player_id: str) -> Acquaintance:
        """By id or name, case-insensitive. Raises PersonaNotFound."""
        return await find(self._database, tenant, reference, player_id)

    async def create(self, tenant: str, persona_id: str, draft: PersonaDraft, now: datetime) -> Persona:
        """Raises Conflict when the name is taken."""
        rows = await self._database.fetch("insert_persona", tenant, persona_id, *_values(draft), now)
        return persona_of(rows[0])

    async def change(self, tenant: str, reference: str, change: PersonaChange) -> Persona:
        """A new version, also when nothing is different. Raises PersonaNotFound, Conflict."""
        async with self._database.transaction() as rows:
            found = (await find(rows, tenant, reference, WORLD)).persona
            held = (await hold(rows, tenant, [found.id])).get(found.id)
            if held is None:
                raise PersonaNotFound(reference)
            if change.expected_version not in (None, held.version):
                raise Conflict("The persona was changed meanwhile", field="expected_version", version=held.version)
            after = held.model_copy(update=_changed(held, change))
            return persona_of((await rows.fetch("update_persona", tenant, held.id, *_values(after)))[0])

    async def delete(self, tenant: str, reference: str, now: datetime) -> PersonaDeleted:
        found = (await self.find(tenant, reference, WORLD)).persona
        rows = await self._database.fetch("delete_persona", tenant, found.id, now)
        if not rows:
            raise PersonaNotFound(reference)
        return PersonaDeleted(persona_id=rows[0]["id"], name=rows[0]["name"])


async def find(rows: Rows, tenant: str, reference: str, player_id: str) -> Acquaintance:
    found = await rows.fetch("find_persona", tenant, player_id, reference)
    if not found:
        raise PersonaNotFound(reference)
    return _acquaintance(found[0])


async def find_for_turn(
    rows: Rows, tenant: str, reference: str, standing: str, player_id: str
) -> tuple[Acquaintance, Bond | None]:
    """Also what is between the persona and the player. On the path of every reply: one statement.

    `standing`: whose state is read; WORLD for everybody's. Raises PersonaNotFound.
    """
    found = await rows.fetch("find_for_turn", tenant, standing, reference, player_id)
    if not found:
        raise PersonaNotFound(reference)
    return _acquaintance(found[0]), bond_of(found[0]) if found[0]["affinity"] is not None else None


async def hold(rows: Rows, tenant: str, persona_ids: Sequence[str]) -> dict[str, Persona]:
    """Inside a transaction: nobody else changes the inner life of these personas before it ends."""
    return {row["id"]: persona_of(row) for row in await rows.fetch("hold_personas", tenant, sorted(persona_ids))}


async def write_standing(
    rows: Rows, tenant: str, player_id: str, found: Acquaintance, standing: Standing, interaction_id: str
) -> Acquaintance:
    """The persona is held. Raises Unavailable when another was faster all the same."""
    changed = Acquaintance(
        found.persona,
        standing,
        (*found.recent_interactions, interaction_id)[-REMEMBERED_INTERACTIONS:],
        found.revision + 1,
    )
    written = await rows.fetch(
        "write_standing",
        tenant,
        found.persona.id,
        player_id,
        standing.interest_level,
        standing.interaction_fatigue,
        standing.current_priority.value,
        standing.available_seconds,
        standing.social_energy,
        standing.cooldown_until,
        standing.last_updated,
        changed.recent_interactions,
        found.revision,
    )
    if not written:
        raise Unavailable("Another interaction of this persona is being stored", retry_after=1)
    return changed


def persona_of(row: asyncpg.Record) -> Persona:
    return Persona(**{name: row[name] for name in Persona.model_fields})


def _values(source: PersonaDraft | Persona) -> list[object]:
    values = [getattr(source, name) for name in _WRITTEN]
    return [value.value if isinstance(value, Priority) else value for value in values]


def _changed(held: Persona, change: PersonaChange) -> dict[str, object]:
    given = {name: getattr(change, name) for name in _WRITTEN if getattr(change, name) is not None}
    if change.extras is not None:
        merged = held.extras | change.extras
        given["extras"] = _bounded({key: value for key, value in merged.items() if value is not None})
    return given


def _bounded(extras: dict[str, Any]) -> dict[str, Any]:
    try:
        return PersonaChange(extras=extras).extras or {}
    except ValidationError as error:
        raise InvalidParams("extras: too much together with what is there", field="extras") from error


def _acquaintance(row: asyncpg.Record) -> Acquaintance:
    met = row["revision"] is not None
    return Acquaintance(
        persona=persona_of(row),
        standing=standing_of(row) if met else None,
        recent_interactions=tuple(row["recent_interactions"]) if met else (),
        revision=row["revision"] if met else 0,
    )


def standing_of(row: asyncpg.Record) -> Standing:
    return Standing(
        interest_level=row["interest_level"],
        interaction_fatigue=row["interaction_fatigue"],
        current_priority=Priority(row["current_priority"]),
        available_seconds=row["available_seconds"],
        social_energy=row["social_energy"],
        cooldown_until=row["cooldown_until"],
        last_updated=row["last_updated"],
    )
