"""What a save holds of the personas, and how it is the present again. Pure.

States are kept as they were at the save, brought forward to it, and a load takes them as they are: sixty seconds of
cooldown that were left are left again, however long ago that was, and a mood goes on fading from where it was.
Relationships keep their own times: when two met last is a fact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from pmcp_common.contracts.personas import Persona
from pmcp_persona import emotion, interaction
from pmcp_persona.emotion import Feelings
from pmcp_persona.interaction import Standing
from pmcp_persona.relationship import Bond, Pair

_STANDING, _BOND, _FEELINGS = TypeAdapter(Standing), TypeAdapter(Bond), TypeAdapter(Feelings)


@dataclass(frozen=True, slots=True)
class PersonaState:
    """Of all personas of a tenant, as far as one player's world holds them."""

    standings: dict[tuple[str, str], Standing]
    """By persona and whom it stands towards: the player, or everybody."""
    bonds: dict[Pair, Bond]
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
    """Times are of ISO 8601. The tenant is the save's."""
    return {
        "standings": [
            {"persona_id": persona_id, "towards": towards, **_STANDING.dump_python(one, mode="json")}
            for (persona_id, towards), one in state.standings.items()
        ],
        "bonds": [
            {
                "kind": pair.kind,
                "first_id": pair.first_id,
                "second_id": pair.second_id,
                **_BOND.dump_python(bond, mode="json"),
            }
            for pair, bond in state.bonds.items()
        ],
        "feelings": [
            {"persona_id": persona_id, **_FEELINGS.dump_python(one, mode="json")}
            for persona_id, one in state.feelings.items()
        ],
    }


def from_json(stored: dict[str, Any], tenant: str) -> PersonaState:
    return PersonaState(
        {(one["persona_id"], one["towards"]): _STANDING.validate_python(one) for one in stored["standings"]},
        {
            Pair(tenant, one["kind"], one["first_id"], one["second_id"]): _BOND.validate_python(one)
            for one in stored["bonds"]
        },
        {one["persona_id"]: _FEELINGS.validate_python(one) for one in stored["feelings"]},
    )
