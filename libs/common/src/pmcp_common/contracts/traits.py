"""How personality traits are read, pure: clients write them on three scales, in words, or only name them.

A persona's numbers are on one scale, told by the largest of them: up to 1 is 0..1 (Big Five), up to 10 is 1..10 (the
persona creator), else 0..100 (the first personas). Here every level is 0..1, and 0.5 is average.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LEVEL_WORDS = {
    "none": 0.0,
    "very low": 0.1,
    "low": 0.25,
    "little": 0.25,
    "medium": 0.5,
    "moderate": 0.5,
    "average": 0.5,
    "normal": 0.5,
    "some": 0.5,
    "high": 0.75,
    "strong": 0.75,
    "very high": 0.9,
    "very strong": 0.9,
    "extreme": 1.0,
}
NAMED_ONLY = 0.75
"""A trait given as true: it is there, and nothing says how strong."""


def levels(traits: Mapping[str, Any]) -> dict[str, float]:
    """Trait → 0..1, in the order given. Values that say no level are left out, see `words`."""
    numbers = [number for value in traits.values() if (number := _number(value)) is not None]
    scale = _scale(numbers)
    found: dict[str, float] = {}
    for name, value in traits.items():
        number = _number(value)
        if isinstance(value, bool):
            found[name] = NAMED_ONLY if value else 0.0
        elif number is not None:
            found[name] = min(1.0, max(0.0, number / scale))
        elif isinstance(value, str) and value.strip().casefold() in LEVEL_WORDS:
            found[name] = LEVEL_WORDS[value.strip().casefold()]
    return found


def words(traits: Mapping[str, Any]) -> dict[str, str]:
    """Traits described in words of their own."""
    return {
        name: value.strip()
        for name, value in traits.items()
        if isinstance(value, str)
        and value.strip()
        and _number(value) is None
        and value.strip().casefold() not in LEVEL_WORDS
    }


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, int | float) and abs(value) < 1e9:  # false for NaN
        return float(value)
    return None


def _scale(numbers: list[float]) -> float:
    largest = max(numbers, default=1.0)
    return 1.0 if largest <= 1 else 10.0 if largest <= 10 else 100.0
