"""A conversation between two personas: how one of them is the other's player, and when a talk goes on.

Each of the two has the talk in its own history: what the other said stands there as a player's words. The player's id
is then `persona:` and the other's id; clients may not claim such an id.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

PERSONA_PLAYER = "persona:"
CONTINUE_AT = 40.0
"""Continue scores from here on."""
LEAST_BUDGET_TOKENS = 50
"""A talk ends when it has not more than this left."""


class Routing(StrEnum):
    """How much of a reply a continue score is worth."""

    FULL = "full"
    SHORTENED = "shortened"
    CONSTRAINED = "constrained"
    CLOSING = "closing"
    """A line of farewell that no model made."""


def as_player(persona_id: str) -> str:
    return PERSONA_PLAYER + persona_id


def partner_of(player_id: str) -> str | None:
    """The persona behind a player's id; None: a real player."""
    return player_id.removeprefix(PERSONA_PLAYER) if player_id.startswith(PERSONA_PLAYER) else None


def goes_on(score: float | None, tokens_left: int) -> bool:
    """`score` is None before the first turn."""
    return (score is None or score >= CONTINUE_AT) and tokens_left > LEAST_BUDGET_TOKENS


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What surrounds a message, for the prompt of this one reply."""

    topic: str | None = None
    speaker_name: str | None = None
    """Who says the message, when it is not the player."""
    room: str | None = None
    notes: dict[str, object] = field(default_factory=dict)
    """What the client says of the situation: a game's state, a room's subject."""
    closing: bool = False
    """The talk has no budget left: a line of farewell is wanted."""
