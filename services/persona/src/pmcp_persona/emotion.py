"""A persona's mood: what moves it, and how that fades. Pure.

There is no ticking loop: a mood is true as of its own `last_updated`, and whoever reads it lets it fade to the
present. Each value falls back to its baseline by half in its half-life, so looking often changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

HOUR = 3600.0
BASELINE: Mapping[str, float] = {
    "mood": 0.5,
    "energy_level": 0.7,
    "stress_level": 0.3,
    "curiosity": 0.6,
    "social_battery": 0.8,
}
"""What a new persona has, and what every mood returns to."""
HALF_LIFE_SECONDS: Mapping[str, float] = {
    "mood": 6 * HOUR,
    "energy_level": 2 * HOUR,
    "stress_level": 4 * HOUR,
    "curiosity": 12 * HOUR,
    "social_battery": 3 * HOUR,
}
LEAST: Mapping[str, float] = {name: -1.0 if name == "mood" else 0.0 for name in BASELINE}

MOOD_STEP = 0.08
STRESS_UP, STRESS_DOWN = 0.06, 0.02
CURIOSITY_STEP = 0.01
ENERGY_PER_MINUTE, BATTERY_PER_MINUTE = 0.004, 0.01


@dataclass(frozen=True, slots=True)
class Feelings:
    mood: float
    energy_level: float
    stress_level: float
    curiosity: float
    social_battery: float
    last_updated: datetime


def calm(since: datetime) -> Feelings:
    return Feelings(**BASELINE, last_updated=since)


def fade(feelings: Feelings, now: datetime) -> Feelings:
    """To `now`; an earlier one (another replica's clock) changes nothing."""
    seconds = (now - feelings.last_updated).total_seconds()
    if seconds <= 0:
        return feelings
    values = {
        name: baseline + (getattr(feelings, name) - baseline) * math.exp2(-seconds / HALF_LIFE_SECONDS[name])
        for name, baseline in BASELINE.items()
    }
    return _with(feelings, values, now)


def touch(feelings: Feelings, quality: float, duration_seconds: float, now: datetime) -> Feelings:
    """After a talk of quality -1..1 that ended at `now`: kind words lift, unkind ones trouble, talking tires."""
    minutes = duration_seconds / 60
    stress = STRESS_UP * -quality if quality < 0 else -STRESS_DOWN * quality
    moves = {
        "mood": MOOD_STEP * quality,
        "energy_level": -ENERGY_PER_MINUTE * minutes,
        "stress_level": stress,
        "curiosity": CURIOSITY_STEP * abs(quality),
        "social_battery": -BATTERY_PER_MINUTE * minutes,
    }
    current = fade(feelings, now)
    return _with(current, {name: getattr(current, name) + move for name, move in moves.items()}, current.last_updated)


def put(feelings: Feelings, values: Mapping[str, float], now: datetime) -> Feelings:
    """Some values set by hand; the others as they are now."""
    current = fade(feelings, now)
    return _with(current, values, current.last_updated)


def changes(before: Feelings, after: Feelings) -> dict[str, float]:
    """What moved, by how much, beyond what has faded meanwhile."""
    faded = fade(before, after.last_updated)
    moved = {name: round(getattr(after, name) - getattr(faded, name), 6) for name in BASELINE}
    return {name: move for name, move in moved.items() if move}


def _with(feelings: Feelings, values: Mapping[str, float], last_updated: datetime) -> Feelings:
    merged = {name: _clamp(name, values.get(name, getattr(feelings, name))) for name in BASELINE}
    return Feelings(**merged, last_updated=last_updated)


def _clamp(name: str, value: float) -> float:
    return min(1.0, max(LEAST[name], value))
