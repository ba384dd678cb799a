"""Saves of a player's world, as services exchange them.

The persona service and the memory service each keep their part under the same id; the memory service's is the one that
counts: a save without it was never finished and does not exist.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from pmcp_common.contracts.personas import Contract, Identifier

MAX_SAVES = 1_000
"""A player's own; those that loads make are kept apart."""
MAX_AUTOMATIC_SAVES = 20
MAX_SAVES_LISTED = 100

SaveLabel = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", strict=True)
]
"""What a player calls a save: one line of at most 200 characters."""


class SaveRecord(Contract):
    """What is known of one save. It never changes."""

    save_id: Identifier
    player_id: Identifier
    session_id: Identifier
    principal: Identifier
    persona_id: str | None = Field(description="whom the session talked to; None: nobody")
    persona_name: str | None
    label: str
    automatic: bool = Field(description="made by a load, of the world it left")
    conversations: int = Field(ge=0, description="of this player, with at least one message")
    created_at: AwareDatetime


class SaveRecords(Contract):
    saves: tuple[SaveRecord, ...] = Field(description="newest first")


class SaveWorld(Contract):
    """Save the memory service's part under an id that is new."""

    save_id: Identifier
    player_id: Identifier
    session_id: Identifier
    principal: Identifier
    persona_id: Identifier | None = None
    persona_name: str | None = None
    label: SaveLabel = ""


class LoadWorld(Contract):
    """Make a save the present world. What is left is saved first, as `leaving`."""

    leaving: SaveWorld


class WorldLoaded(Contract):
    """What became different by a load."""

    save: SaveRecord
    turns_shown: int = Field(ge=0)
    turns_hidden: int = Field(ge=0)
    memories_shown: int = Field(ge=0, description="an older text of a memory that is there counts, too")
    memories_hidden: int = Field(ge=0)


class SavePersonas(Contract):
    """Save the persona service's part. Saving again under the same id changes nothing."""

    player_id: Identifier


class LoadPersonas(Contract):
    """Bring the persona service's part of a save back; what is there now is saved as `leaving_id` first.

    Done once for each `leaving_id`.
    """

    player_id: Identifier
    leaving_id: Identifier


class PlayerForgotten(Contract):
    """How much of a player was deleted with the persona service."""

    interaction_states: int = Field(ge=0)
    relationships: int = Field(ge=0)
    saves: int = Field(ge=0)


class PersonasSaved(Contract):
    """How much a save holds."""

    interaction_states: int = Field(ge=0)
    relationships: int = Field(ge=0)
    emotions: int = Field(ge=0)


class PersonasLoaded(Contract):
    """How much became different."""

    interaction_states: int = Field(ge=0)
    relationships: int = Field(ge=0)
    emotions: int = Field(ge=0)
