"""What a save holds of the personas, and how it is the present again. Pure.

States are kept as they were at the save, brought forward to it, and a load takes them as they are: sixty seconds of
cooldown that were left are left again, however long ago that was, and a mood goes on fading from where it was.
Relationships keep their own times: when two met last is a fact.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pmcp_common.contracts.personas import Persona, Priority
from pmcp_common.contracts.relationships import RelationshipType
from pmcp_persona import emotion, interaction
from pmcp_persona.emotion import BASELINE, Feelings
from pmcp_persona.interaction import Standing
from pmcp_persona.relationship import Bond


@dataclass(frozen=True, slots=True)
class Between:
    """Who has a relationship: kind `persona` or `player`, and the two ids."""

    kind: str
    first_id: str
    second_id: str


@dataclass(frozen=True, slots=True)
class PersonaState:
    """Of all personas of a tenant, as far as one player's world holds them."""

    standings: dict[tuple[str, str], Standing]
    """By persona and whom it stands towards: the player, or everybody."""
    bonds: dict[Between, Bond]
    feelings: dict[str, Feelings]
    """By persona."""


def at_rest(state: PersonaState, personas: dict[str, Persona], now: datetime) -> PersonaState:
    """As of `now`: nothing is left to be brought forward."""
    return PersonaState(
        {key: interaction.advance(one, personas[key[0]], now) for key, one in state.standings.items()},
        state.bonds,
        {persona_id: emotion.fade(one, now) for persona_id, one in state.feelings.items()},
    )


def from_then(state: PersonaState, saved_at: datetime, now: datetime) -> PersonaState:
    """As it was at the save, with the time of the load: what takes time goes on from there."""
    later = now - saved_at
    return PersonaState(
        {key: _move(one, later, now) for key, one in state.standings.items()},
        state.bonds,
        {persona_id: replace(one, last_updated=now) for persona_id, one in state.feelings.items()},
    )


def _move(standing: Standing, later: timedelta, now: datetime) -> Standing:
    until = standing.cooldown_until
    return replace(standing, last_updated=now, cooldown_until=None if until is None else until + later)


def to_json(state: PersonaState) -> dict[str, Any]:
    """Times are of ISO 8601."""
    return {
        "standings": [
            {"persona_id": persona_id, "towards": towards, **_plain(asdict(one))}
            for (persona_id, towards), one in state.standings.items()
        ],
        "bonds": [{**asdict(pair), **_plain(asdict(bond))} for pair, bond in state.bonds.items()],
        "feelings": [{"persona_id": name, **_plain(asdict(one))} for name, one in state.feelings.items()],
    }


def from_json(stored: dict[str, Any]) -> PersonaState:
    return PersonaState(
        {(one["persona_id"], one["towards"]): _standing(one) for one in stored["standings"]},
        {Between(one["kind"], one["first_id"], one["second_id"]): _bond(one) for one in stored["bonds"]},
        {one["persona_id"]: _feelings(one) for one in stored["feelings"]},
    )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def _time(value: str) -> datetime:
    return datetime.fromisoformat(value)


def _standing(stored: dict[str, Any]) -> Standing:
    until = stored["cooldown_until"]
    return Standing(
        interest_level=stored["interest_level"],
        interaction_fatigue=stored["interaction_fatigue"],
        current_priority=Priority(stored["current_priority"]),
        available_seconds=stored["available_seconds"],
        social_energy=stored["social_energy"],
        cooldown_until=None if until is None else _time(until),
        last_updated=_time(stored["last_updated"]),
    )


def _bond(stored: dict[str, Any]) -> Bond:
    return Bond(
        affinity=stored["affinity"],
        trust=stored["trust"],
        respect=stored["respect"],
        intimacy=stored["intimacy"],
        relationship_type=RelationshipType(stored["relationship_type"]),
        interaction_count=stored["interaction_count"],
        total_seconds=stored["total_seconds"],
        talk_seconds=stored["talk_seconds"],
        first_meeting=_time(stored["first_meeting"]),
        last_interaction=_time(stored["last_interaction"]),
    )


def _feelings(stored: dict[str, Any]) -> Feelings:
    return Feelings(**{name: stored[name] for name in BASELINE}, last_updated=_time(stored["last_updated"]))
