"""Who the model is to be: one persona in plain sentences. Pure, and the same bytes for the same version.

Short, because a small model loses its character in a long text: each part has a limit, lists show their first few
entries, and traits only what stands out. What clients sent besides (`extras`) is told as far as it is a short text or a
number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pmcp_common.contracts import traits
from pmcp_common.contracts.personas import Persona

MAX_PART_CHARS = 1500
MAX_TRAITS = 6
MAX_LISTED = 6
MAX_FACT_CHARS = 100
STRONG_FROM, WEAK_TO = 0.65, 0.25


def persona_text(persona: Persona) -> str:
    parts = [
        f"You are {persona.name}.",
        _full_name(persona),
        _cut(persona.description),
        _cut(persona.background),
        "" if persona.backstory.strip() == persona.background.strip() else _cut(persona.backstory),
        _character(persona),
        _listed(f"{persona.name} is interested in", persona.interests),
        _listed(f"What {persona.name} wants:", persona.goals),
        _listed(f"More about {persona.name}:", _facts(persona.extras)),
        _cut(persona.speaking_style),
    ]
    return " ".join(part for part in parts if part)


def _full_name(persona: Persona) -> str:
    full = persona.full_name.strip()
    return f"Your full name is {full}." if full and full != persona.name else ""


def _character(persona: Persona) -> str:
    """What stands out, strongest first; ties by name, so that the order never depends on how it was stored."""
    levels = traits.levels(persona.personality_traits)
    by_strength = sorted(levels.items(), key=lambda entry: (-entry[1], entry[0]))
    said = [_words(name) for name, level in by_strength if level >= STRONG_FROM][:MAX_TRAITS]
    said += [f"little {_words(name)}" for name, level in reversed(by_strength) if level <= WEAK_TO][:MAX_TRAITS]
    described = sorted(traits.words(persona.personality_traits).items())
    said += [f"{_words(name)}: {_cut(text, 100)}" for name, text in described][:MAX_TRAITS]
    return f"{persona.name}'s character: {', '.join(said[: 2 * MAX_TRAITS])}." if said else ""


def _listed(beginning: str, entries: Sequence[str]) -> str:
    return f"{beginning} {', '.join(entries[:MAX_LISTED])}." if entries else ""


def _facts(extras: Mapping[str, Any]) -> list[str]:
    """By name, so that the order never depends on how it was stored."""
    plain = {name: str(value).strip() for name, value in sorted(extras.items()) if _is_plain(value)}
    return [f"{_words(name)}: {' '.join(text.split())}" for name, text in plain.items() if text]


def _is_plain(value: object) -> bool:
    short = isinstance(value, str) and len(value) <= MAX_FACT_CHARS
    return short or (isinstance(value, int | float) and not isinstance(value, bool))


def _words(name: str) -> str:
    return name.strip().replace("_", " ")[:50]


def _cut(text: str, max_chars: int = MAX_PART_CHARS) -> str:
    """Up to the last sentence that fits, or the last word."""
    text = text.strip()
    if len(text) <= max_chars:
        return text
    room = text[:max_chars]
    end = max(room.rfind(mark) for mark in (". ", "! ", "? "))
    return room[: end + 1] if end > 0 else room.rsplit(None, 1)[0]
