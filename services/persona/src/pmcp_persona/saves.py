"""The persona service's part of saves, stored: how the personas stood towards a player, to each other, and felt.

A save reads one snapshot and holds nobody up. A load is one transaction that holds every persona of the tenant, and
each change in it is recorded like any other: the history says that a save was loaded. What the player had with a
persona it had not met at the save goes; two personas that had not met are strangers again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from pmcp_common.contracts.errors import NotFound
from pmcp_common.contracts.personas import Persona
from pmcp_common.contracts.saves import LoadPersonas, PersonasLoaded, PersonasSaved, PlayerForgotten
from pmcp_persona import emotion, emotion_rows, interaction, relationship, relationship_rows
from pmcp_persona.database import Database, Rows
from pmcp_persona.emotion import BASELINE, Feelings
from pmcp_persona.interaction import Standing
from pmcp_persona.relationship import Pair
from pmcp_persona.relationship_rows import Told
from pmcp_persona.saved_state import PersonaState, at_rest, from_json, from_then, to_json
from pmcp_persona.store import WORLD, Acquaintance, persona_of, standing_of, write_standing

CAUSE = "loaded a save"


@dataclass(frozen=True, slots=True)
class _Present:
    """Everything a save holds, of one moment."""

    personas: dict[str, Persona]
    state: PersonaState
    """As stored: not brought forward."""
    marks: dict[tuple[str, str], tuple[tuple[str, ...], int]]
    """Of each standing its recent interactions and its revision."""


@dataclass(frozen=True, slots=True)
class _Load:
    rows: Rows
    tenant: str
    player_id: str
    cause_id: str
    now: datetime


class Saves:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, tenant: str, save_id: str, player_id: str, now: datetime) -> PersonasSaved:
        async with self._database.snapshot() as rows:
            present = await _present(rows, tenant, player_id, await rows.fetch("list_personas", tenant, player_id))
        await _write(self._database, tenant, save_id, player_id, present, now)
        state = present.state
        return PersonasSaved(
            interaction_states=len(state.standings), relationships=len(state.bonds), emotions=len(state.feelings)
        )

    async def load(self, tenant: str, save_id: str, told: LoadPersonas, now: datetime) -> PersonasLoaded:
        """Raises NotFound, for a save of another player too."""
        async with self._database.transaction() as rows:
            held = await rows.fetch("hold_all_personas", tenant)
            present = await _present(rows, tenant, told.player_id, held)
            found = await rows.fetch("find_save", tenant, save_id, told.player_id)
            if not found:
                raise NotFound("Save not found", save_id=save_id)
            if not await _write(rows, tenant, told.leaving_id, told.player_id, present, now):
                return PersonasLoaded(interaction_states=0, relationships=0, emotions=0)
            wanted = from_then(from_json(found[0]["state"], tenant), found[0]["saved_at"], now)
            load = _Load(rows, tenant, told.player_id, f"load:{told.leaving_id}", now)
            return PersonasLoaded(
                interaction_states=await _restore_standings(load, present, wanted),
                relationships=await _restore_bonds(load, present, wanted),
                emotions=await _restore_feelings(load, present, wanted),
            )

    async def forget(self, tenant: str, player_id: str) -> PlayerForgotten:
        """All that the personas have with a player: how they stand, what moved them, and every save."""
        async with self._database.transaction() as rows:
            await rows.fetch("delete_emotion_events_with", tenant, player_id)
            return PlayerForgotten(
                interaction_states=len(await rows.fetch("delete_standings", tenant, player_id)),
                relationships=len(await rows.fetch("delete_bonds_with", tenant, player_id)),
                saves=len(await rows.fetch("delete_saves", tenant, player_id)),
            )


async def _present(rows: Rows, tenant: str, player_id: str, living: Sequence[asyncpg.Record]) -> _Present:
    """`living`: the rows of all personas."""
    personas = {row["id"]: persona_of(row) for row in living}
    standings = {
        (row["persona_id"], row["player_id"]): row
        for row in await rows.fetch("list_standings", tenant, [player_id, WORLD])
    }
    state = PersonaState(
        {key: standing_of(row) for key, row in standings.items()},
        {
            Pair(tenant, row["kind"], row["first_id"], row["second_id"]): relationship_rows.bond_of(row)
            for row in await rows.fetch("list_bonds", tenant, player_id)
        },
        {
            row["persona_id"]: Feelings(**{name: row[name] for name in (*BASELINE, "last_updated")})
            for row in await rows.fetch("list_feelings", tenant)
        },
    )
    marks = {key: (tuple(row["recent_interactions"]), row["revision"]) for key, row in standings.items()}
    return _Present(personas, state, marks)


async def _write(rows: Rows, tenant: str, save_id: str, player_id: str, present: _Present, now: datetime) -> bool:
    """False: there is one of this id."""
    state = to_json(at_rest(present.state, present.personas, now))
    return bool(await rows.fetch("insert_save", tenant, save_id, player_id, now, state))


async def _restore_standings(load: _Load, present: _Present, wanted: PersonaState) -> int:
    """Towards whom the persona had no standing at the save, it is rested."""
    changed = 0
    for key in sorted(present.state.standings.keys() | wanted.standings.keys()):
        persona_id, towards = key
        persona = present.personas.get(persona_id)
        if persona is None:  # deleted since then
            continue
        after = _within(wanted.standings.get(key) or interaction.rested(persona, load.now), persona)
        recent, revision = present.marks.get(key, ((), 0))
        found = Acquaintance(persona, present.state.standings.get(key), recent, revision)
        if found.standing is not None and interaction.advance(found.standing, persona, load.now) == after:
            continue
        await write_standing(load.rows, load.tenant, towards, found, after, load.cause_id)
        changed += 1
    return changed


def _within(standing: Standing, persona: Persona) -> Standing:
    """Not beyond what the persona has by now: it may have been changed since then."""
    return interaction.advance(standing, persona, standing.last_updated)


async def _restore_bonds(load: _Load, present: _Present, wanted: PersonaState) -> int:
    told = Told(load.cause_id, load.now, 0.0, 0.0, CAUSE)
    changed = 0
    for pair in sorted(present.state.bonds.keys() | wanted.bonds.keys(), key=lambda one: one.key):
        before, after = present.state.bonds.get(pair), wanted.bonds.get(pair)
        if before == after or not _are_there(pair, present):
            continue
        changed += 1
        if after is None and pair.kind == "player":
            await load.rows.fetch("delete_relationship", *pair.key)
            continue
        nothing = relationship.strangers(load.now)
        await relationship_rows.write(load.rows, pair, before or nothing, after or nothing, told)
    return changed


def _are_there(pair: Pair, present: _Present) -> bool:
    ids = [pair.first_id] if pair.kind == "player" else [pair.first_id, pair.second_id]
    return all(one in present.personas for one in ids)


async def _restore_feelings(load: _Load, present: _Present, wanted: PersonaState) -> int:
    changed = 0
    for persona_id in sorted(present.state.feelings.keys() | wanted.feelings.keys()):
        if persona_id not in present.personas:
            continue
        before = present.state.feelings.get(persona_id) or emotion.calm(load.now)
        after = wanted.feelings.get(persona_id) or emotion.calm(load.now)
        if not emotion.changes(before, after):
            continue
        await emotion_rows.write(
            load.rows,
            load.tenant,
            persona_id,
            before,
            after,
            cause_id=load.cause_id,
            cause=CAUSE,
            player_id=load.player_id,
            now=load.now,
        )
        changed += 1
    return changed
