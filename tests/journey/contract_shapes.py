"""Shapes of what existing clients read, and in what a result differs from one.

A list stands for its elements, a dict for an object with at least these fields, `Maybe` for a value that may be null,
`Kinds` for an object whose keys are data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Maybe:
    kind: Any


@dataclass(frozen=True)
class Kinds:
    value: Any


Time = "time"
"""ISO-8601 with an offset or Z."""
Object = Kinds(object)
PERSONA_BRIEF: dict[str, Any] = {
    "id": str,
    "name": str,
    "description": str,
    "available": bool,
    "social_energy": int,
    "current_priority": str,
    "cooldown_remaining": float,
    "personality_traits": Object,
    "created_at": Time,
}
MEMORY_STATS: dict[str, Any] = {
    "total_memories": int,
    "avg_importance": float,
    "memory_types": Kinds(int),
    "high_importance_count": int,
    "created_today": int,
    "stats_calculation_time_ms": float,
}
PRUNED_ALL: dict[str, Any] = {
    "status": "global_pruning_completed",
    "personas_processed": int,
    "total_memories_before": int,
    "total_memories_after": int,
    "total_memories_pruned": int,
    "processing_time": float,
    "errors_encountered": int,
}
FEELINGS: dict[str, Any] = {
    "affinity": float,
    "trust": float,
    "respect": float,
    "intimacy": float,
    "relationship_type": str,
    "interaction_count": int,
    "compatibility_score": float,
    "relationship_strength": float,
    "last_interaction": Time,
}
RELATIONSHIP: dict[str, Any] = FEELINGS | {
    "persona1_id": str,
    "persona2_id": str,
    "total_interaction_time": float,
    "first_meeting": Time,
}
EMOTION: dict[str, Any] = {
    "mood": float,
    "energy_level": float,
    "stress_level": float,
    "curiosity": float,
    "social_battery": float,
    "last_updated": Time,
}
SAID: dict[str, Any] = {
    "response": str,
    "response_type": str,
    "continue_score": float,
    "tokens_used": int,
    "processing_time": float,
    "persona_state": {"social_energy": int, "available_time": int, "interaction_fatigue": int},
}
DECAY: dict[str, Any] = {
    "mode": str,
    "interval_hours": float,
    "max_decay_days": float,
    "auto_pruning": bool,
    "auto_prune_threshold": int,
}


def misfits(expected: Any, found: Any, path: str = "") -> list[str]:
    """What a client that reads the fields of `expected` would not find, or find in another type."""
    here = path or "result"
    if expected is object:
        return []
    if isinstance(expected, Maybe):
        return [] if found is None else misfits(expected.kind, found, path)
    if isinstance(expected, Kinds):
        if not isinstance(found, dict):
            return [f"{here} is no object"]
        return [fault for key, one in found.items() for fault in misfits(expected.value, one, f"{path}.{key}")]
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return [f"{here} is no object"]
        missing = [f"{path}.{name} is missing" for name in expected.keys() - found.keys()]
        present = [name for name in expected if name in found]
        return missing + [fault for name in present for fault in misfits(expected[name], found[name], f"{path}.{name}")]
    if isinstance(expected, list):
        if not isinstance(found, list):
            return [f"{here} is no list"]
        return [fault for one in found for fault in misfits(expected[0], one, f"{path}[]")]
    return [] if _is(expected, found) else [f"{here} is {found!r}"]


def lists_in(expected: Any, path: str = "") -> list[str]:
    """Paths of the lists a shape has, outside other lists."""
    if isinstance(expected, Maybe):
        return lists_in(expected.kind, path)
    if isinstance(expected, dict):
        return [place for name, one in expected.items() for place in lists_in(one, f"{path}.{name}")]
    return [path] if isinstance(expected, list) else []


def at(path: str, found: Any) -> Any:
    """What a result has at a path of `lists_in`; None for nothing."""
    for name in path.split(".")[1:]:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _is(expected: Any, found: Any) -> bool:
    if expected is Time:
        return isinstance(found, str) and found[10:11] == "T" and (found.endswith("Z") or found[-6:-5] in "+-")
    if expected is None or isinstance(expected, str):
        return bool(found == expected)
    if expected in (int, float):
        return not isinstance(found, bool) and isinstance(found, int if expected is int else (int, float))
    return isinstance(found, expected)
