"""The rows of relationships and of what moved them. Called with the personas held whenever something is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from pmcp_common.contracts.relationships import (
    ActivePersona,
    Relationship,
    RelationshipEvent,
    RelationshipFigures,
    RelationshipType,
)
from pmcp_persona import relationship
from pmcp_persona.database import Rows
from pmcp_persona.relationship import Bond, Pair

KEPT_EVENTS = 200
SHOWN_EVENTS = 50
MAX_LISTED = 500
MOST_ACTIVE = 5


@dataclass(frozen=True, slots=True)
class Told:
    """What is said to have happened between two."""

    cause_id: str
    happened_at: datetime
    quality: float
    duration_seconds: float
    context: str
    user_message_id: str | None = None


async def read(rows: Rows, pair: Pair) -> Bond | None:
    found = await rows.fetch("read_relationship", *pair.key)
    return bond_of(found[0]) if found else None


async def is_told(rows: Rows, pair: Pair, cause_id: str) -> bool:
    return bool(await rows.fetch("find_relationship_event", *pair.key, cause_id))


async def write(rows: Rows, pair: Pair, before: Bond, after: Bond, told: Told) -> None:
    await rows.fetch(
        "write_relationship",
        *pair.key,
        after.affinity,
        after.trust,
        after.respect,
        after.intimacy,
        after.relationship_type.value,
        after.interaction_count,
        after.total_seconds,
        after.talk_seconds,
        after.first_meeting,
        after.last_interaction,
    )
    await rows.fetch(
        "insert_relationship_event",
        *pair.key,
        told.cause_id,
        told.user_message_id,
        told.happened_at,
        told.quality,
        told.duration_seconds,
        told.context,
        after.affinity - before.affinity,
        after.trust - before.trust,
        after.respect - before.respect,
        after.intimacy - before.intimacy,
        after.relationship_type.value,
    )
    await rows.fetch("forget_relationship_events", *pair.key, KEPT_EVENTS)


async def history(rows: Rows, pair: Pair) -> tuple[RelationshipEvent, ...]:
    """The newest SHOWN_EVENTS, newest first."""
    found = await rows.fetch("list_relationship_events", *pair.key, SHOWN_EVENTS)
    return tuple(RelationshipEvent(**{name: row[name] for name in RelationshipEvent.model_fields}) for row in found)


async def count_since(rows: Rows, pair: Pair, since: datetime) -> int:
    return int((await rows.fetch("count_relationship_events", *pair.key, since))[0]["events"])


async def list_of(rows: Rows, tenant: str, persona_id: str) -> tuple[Relationship, ...]:
    """Those with other personas, strongest feeling first."""
    found = await rows.fetch("list_relationships", tenant, persona_id, MAX_LISTED)
    return tuple(view(bond_of(row), persona_id, row["other_id"], row["other_name"]) for row in found)


async def figures(rows: Rows, tenant: str) -> dict[str, RelationshipFigures]:
    """By kind: persona and player."""
    found = await rows.fetch("count_relationships", tenant)
    return {kind: _figures([row for row in found if row["kind"] == kind]) for kind in ("persona", "player")}


def _figures(rows: Sequence[asyncpg.Record]) -> RelationshipFigures:
    pairs = sum(row["pairs"] for row in rows)
    return RelationshipFigures(
        total_relationships=pairs,
        relationship_types={row["relationship_type"]: row["pairs"] for row in rows},
        average_compatibility=sum(row["compatibility"] for row in rows) / pairs if pairs else 0.0,
        total_interactions=sum(row["interactions"] for row in rows),
    )


async def most_active(rows: Rows, tenant: str) -> tuple[ActivePersona, ...]:
    found = await rows.fetch("list_most_active", tenant, MOST_ACTIVE)
    return tuple(ActivePersona(persona_id=row["persona_id"], interactions=row["interactions"]) for row in found)


def bond_of(row: asyncpg.Record) -> Bond:
    return Bond(
        affinity=row["affinity"],
        trust=row["trust"],
        respect=row["respect"],
        intimacy=row["intimacy"],
        relationship_type=RelationshipType(row["relationship_type"]),
        interaction_count=row["interaction_count"],
        total_seconds=row["total_seconds"],
        talk_seconds=row["talk_seconds"],
        first_meeting=row["first_meeting"],
        last_interaction=row["last_interaction"],
    )


def view(
    bond: Bond,
    persona_id: str,
    other_id: str,
    other_name: str | None,
    events: Sequence[RelationshipEvent] = (),
) -> Relationship:
    return Relationship(
        persona_id=persona_id,
        other_id=other_id,
        other_name=other_name,
        affinity=bond.affinity,
        trust=bond.trust,
        respect=bond.respect,
        intimacy=bond.intimacy,
        relationship_type=bond.relationship_type,
        interaction_count=bond.interaction_count,
        total_interaction_time=bond.total_seconds / 60,
        compatibility_score=relationship.compatibility(bond),
        relationship_strength=relationship.strength(bond),
        first_meeting=bond.first_meeting,
        last_interaction=bond.last_interaction,
        history=tuple(events),
    )
