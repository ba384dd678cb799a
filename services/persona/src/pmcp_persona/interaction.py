"""How talking tires a persona towards one player, and how rest restores it. Pure: no clock, no row, no wire.

There is no ticking loop. A standing is true as of its own `last_updated`; whoever reads it brings it forward
to the present first. Quantities are fractions here and in the store, and become whole numbers only in `view`,
so that many small steps add up to the same as one large step.

Rates: one point of social energy in 60 s of talk, and the same back in 60 s of rest; one point of fatigue in
30 s of talk, gone in 300 s of rest; one second of time spent by each second of talk, one given back by each
second of rest. Nothing is restored beyond what the rested persona has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pmcp_common.contracts.personas import InteractionState, Persona, Priority

SECONDS_PER_ENERGY = 60.0
TALK_SECONDS_PER_FATIGUE = 30.0
REST_SECONDS_PER_FATIGUE = 300.0
# Both are what must be exceeded, not reached.
LEAST_AVAILABLE_SECONDS = 30.0
LEAST_SOCIAL_ENERGY = 10.0
FIRST_INTEREST_LEVEL = 50.0
COOLDOWN_SECONDS = 300.0
GOOD_SCORE, POOR_SCORE = 70.0, 30.0


@dataclass(frozen=True, slots=True)
class Standing:
    """One persona towards one player, as of `last_updated`."""

    interest_level: float
    interaction_fatigue: float
    current_priority: Priority
    available_seconds: float
    social_energy: float
    cooldown_until: datetime | None
    last_updated: datetime


def rested(persona: Persona, now: datetime) -> Standing:
    """How a persona stands towards a player it has never met."""
    return Standing(
        interest_level=FIRST_INTEREST_LEVEL,
        interaction_fatigue=0.0,
        current_priority=persona.priority,
        available_seconds=float(persona.available_time),
        social_energy=float(persona.energy),
        cooldown_until=None,
        last_updated=now,
    )


def advance(standing: Standing, persona: Persona, now: datetime) -> Standing:
    """Rest from `last_updated` until `now`. An earlier `now` (another replica's clock) changes nothing."""
    seconds = (now - standing.last_updated).total_seconds()
    if seconds < 0:
        return standing
    return replace(
        standing,
        interaction_fatigue=max(0.0, standing.interaction_fatigue - seconds / REST_SECONDS_PER_FATIGUE),
        available_seconds=min(float(persona.available_time), standing.available_seconds + seconds),
        social_energy=min(float(persona.energy), standing.social_energy + seconds / SECONDS_PER_ENERGY),
        last_updated=now,
    )


def tire(standing: Standing, persona: Persona, duration_seconds: float, now: datetime) -> Standing:
    """Apply an interaction that ended at `now`.

    The persona rests only until the interaction began: talking without a pause restores nothing.
    """
    begun = now - timedelta(seconds=duration_seconds)
    before = advance(standing, persona, begun)
    return replace(
        before,
        interaction_fatigue=before.interaction_fatigue + duration_seconds / TALK_SECONDS_PER_FATIGUE,
        available_seconds=max(0.0, before.available_seconds - duration_seconds),
        social_energy=max(0.0, before.social_energy - duration_seconds / SECONDS_PER_ENERGY),
        last_updated=max(now, before.last_updated),
    )


def cool_down(standing: Standing, persona: Persona, continue_score: float, now: datetime) -> Standing:
    """Apply the end of a conversation: 300 s of rest, half of it after a good one, twice after a poor one, and more
    the more tired it left the persona. A longer cooldown that already runs stays."""
    current = advance(standing, persona, now)
    factor = 0.5 if continue_score > GOOD_SCORE else 2.0 if continue_score < POOR_SCORE else 1.0
    seconds = COOLDOWN_SECONDS * factor * (1 + current.interaction_fatigue / 100)
    until = now + timedelta(seconds=seconds)
    return replace(current, cooldown_until=max(until, current.cooldown_until or until))


def is_available(standing: Standing, now: datetime) -> bool:
    return (
        (standing.cooldown_until is None or now >= standing.cooldown_until)
        and standing.available_seconds > LEAST_AVAILABLE_SECONDS
        and standing.social_energy > LEAST_SOCIAL_ENERGY
    )


def view(standing: Standing, now: datetime) -> InteractionState:
    """What others see of a standing already brought forward to `now`.

    What is left is rounded up, so that a reader who compares the whole numbers with the limits finds the same
    availability; fatigue is rounded down, it counts full points.
    """
    until = standing.cooldown_until
    return InteractionState(
        interest_level=round(standing.interest_level),
        interaction_fatigue=math.floor(standing.interaction_fatigue),
        current_priority=standing.current_priority,
        available_time=math.ceil(standing.available_seconds),
        social_energy=math.ceil(standing.social_energy),
        cooldown_until=0.0 if until is None else until.timestamp(),
        cooldown_remaining=0.0 if until is None else max(0.0, (until - now).total_seconds()),
        is_available=is_available(standing, now),
        last_updated=standing.last_updated,
    )
