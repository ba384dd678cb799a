"""What one finished turn does to a persona: it tires, it feels, and it comes to know the other one. Pure.

For feelings a turn counts as at least half a minute, as the original has it: the reply's own seconds say how long the
model took, not how long the two were together. For tiredness it counts as ten seconds at least, but never as more
than has passed since the turn before (docs/decisions/0010-a-first-talk-is-no-farewell.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pmcp_common.contracts.personas import Persona
from pmcp_persona import emotion, interaction, relationship
from pmcp_persona.emotion import Feelings
from pmcp_persona.interaction import Standing
from pmcp_persona.relationship import Bond

LEAST_TURN_SECONDS = 30.0
LEAST_TIRING_SECONDS = 10.0
"""At a message each twice as many seconds, talking and the pauses between are in balance."""


@dataclass(frozen=True, slots=True)
class Inner:
    """What a turn moves."""

    standing: Standing
    bond: Bond
    feelings: Feelings


@dataclass(frozen=True, slots=True)
class Turn:
    duration_seconds: float
    quality: float
    """-1..1, of what the other side said."""

    @property
    def shared_seconds(self) -> float:
        return max(LEAST_TURN_SECONDS, self.duration_seconds)


def unmet(persona: Persona, now: datetime) -> Standing:
    """Whose first turn ends now: it began before, and tires like any other."""
    return interaction.rested(persona, now - timedelta(seconds=LEAST_TIRING_SECONDS))


def tiring_seconds(standing: Standing, turn: Turn, now: datetime) -> float:
    passed = (now - standing.last_updated).total_seconds()
    return max(turn.duration_seconds, min(LEAST_TIRING_SECONDS, passed))


def after_turn(before: Inner, persona: Persona, turn: Turn, now: datetime) -> Inner:
    return Inner(
        standing=interaction.tire(before.standing, persona, tiring_seconds(before.standing, turn, now), now),
        bond=relationship.interact(before.bond, turn.quality, turn.shared_seconds, now),
        feelings=emotion.touch(before.feelings, turn.quality, turn.shared_seconds, now),
    )
