"""How importance fades with time. Pure; the clock is the caller's, which can be the world's.

Formulae and bounds are those existing clients know: new = first * (1 - f), never below 0.1; f by mode below; 0.8 for
all beyond 90 days. What matters much (over 0.8) or was recalled within 7 days does not fade. The result depends on the
first importance and the age only: decaying twice changes nothing, and a memory that is recalled is fresh again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

FLOOR = 0.1
LASTING_IMPORTANCE = 0.8
REST_DAYS = 7.0
"""After an access nothing fades for so long."""
LONG_DAYS = 90.0
LONG_FADING = 0.8
_HALF_LIFE_DAYS = 30.0


class DecayMode(StrEnum):
    NONE = "none"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"
    LOGARITHMIC = "logarithmic"
    ACCESS_BASED = "access_based"


@dataclass(frozen=True, slots=True)
class Aging:
    """What decay looks at."""

    initial_importance: float
    created_at: datetime
    last_accessed: datetime | None
    accessed_count: int
    pinned: bool = False


def decayed(memory: Aging, mode: DecayMode, now: datetime) -> float:
    """The importance it has at `now`: 0..1, never more than it began with."""
    if memory.pinned or mode is DecayMode.NONE or memory.initial_importance > LASTING_IMPORTANCE:
        return memory.initial_importance
    if memory.last_accessed is not None and _days(memory.last_accessed, now) <= REST_DAYS:
        return memory.initial_importance
    since = max(memory.created_at, memory.last_accessed or memory.created_at)
    faded = memory.initial_importance * (1 - fading(mode, _days(since, now), memory.accessed_count))
    return min(max(faded, FLOOR), memory.initial_importance)


def fading(mode: DecayMode, days: float, accessed_count: int) -> float:
    """0..0.8: the share that is gone after `days`; never falls as days go by."""
    if mode is DecayMode.NONE or days <= 0:
        return 0.0
    if days > LONG_DAYS:
        return LONG_FADING
    if mode is DecayMode.LINEAR:
        share = 0.01 * days
    elif mode is DecayMode.EXPONENTIAL:
        share = 1 - 0.5 ** (days / _HALF_LIFE_DAYS)
    elif mode is DecayMode.LOGARITHMIC:
        share = math.log1p(days) / math.log(LONG_DAYS + 1)
    else:
        share = min(1 - 0.7 ** (days / _HALF_LIFE_DAYS), 0.6) * _use_factor(accessed_count)
    return min(share, LONG_FADING)


def _use_factor(accessed_count: int) -> float:
    if accessed_count == 0:
        return 2.0
    return 0.5 if accessed_count >= 3 else 1.0


def _days(then: datetime, now: datetime) -> float:
    return max((now - then).total_seconds() / 86_400, 0.0)
