"""What differs between two runs of the same frames, replaced by its name: ids, times, measures. Pure.

All else stays as it is, and in its place: the order of the keys is the wire's.
"""

from __future__ import annotations

import re
from typing import Any

_WORDS = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\bconv_[0-9a-f]{32}\b"), "<conversation>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<sha256>"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<hex>"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "<time>"),
    (re.compile(r"\bplayer-[0-9a-f]{12}\b"), "<player>"),
)
_NUMBER, _TEXT = "<number>", "<text>"
MEASURED = frozenset(
    {
        # Time that something took, or that is left.
        "processing_time", "response_time_ms", "duration", "timings", "stats_calculation_time_ms", "cooldown_remaining",
        "cooldown_until", "cooldown_seconds", "average_processing_time",
        # What talking does to a persona, some time after each reply.
        "social_energy", "available_time", "interaction_fatigue", "interest_level", "continue_score", "score_parts",
        "mood", "energy_level", "stress_level", "curiosity", "social_battery", "affinity", "trust", "respect",
        "intimacy", "compatibility_score", "relationship_strength", "strength", "interaction_count",
        "total_interaction_time", "recent_interactions", "overall", "relationship_type",
        # What others do on the same deployment, and what is remembered of a turn some time after it.
        "total_personas", "available_personas", "total_count", "available_count", "active_conversations",
        "total_memories", "accessed_count", "similarity", "importance", "emotional_valence", "memory_types",
        "avg_importance", "average_importance", "high_importance_count", "created_today", "result_count",
        "total_found", "total_results", "changes", "relationship_statistics", "memories", "personas_processed",
        "total_memories_before", "total_memories_after", "current_count", "current_memory_count", "shared_memories",
        "public_memories", "cross_references", "memories_processed", "memories_decayed",
        # How many pieces the reply came in.
        "chunk", "total_length", "head_seq", "seq", "chunk_count", "heads", "gen",
        # Whether the record or the reply was quicker.
        "durability",
    }
)  # fmt: skip
"""Their values, down to the last number and text, are told by their kinds only."""
FIRST_ONLY = frozenset(
    {
        "personas",
        "methods",
        "schemas",
        "events",
        "most_active_personas",
        "memories",
        "personas_last_pruned",
        "by_persona",
    }
)
"""Of what there are as many as the deployment has, the first."""
ANY = frozenset(
    {"memory_types", "memory_stats", "relationship_types", "player_relationship", "last_answered_model", "components",
     "history", "last_accessed", "neighbours", "by_persona", "personas_last_pruned", "forgotten",
     "decay_statistics", "pruning_statistics"}
)  # fmt: skip
"""What is there or not, or holds this or that, by how far the deployment's off-path work has come."""
OF_A_MEMORY = frozenset(
    {
        "metadata",
        "merged_from",
        "related_personas",
        "source_message_ids",
        "speaker",
        "session_id",
        "participants",
        "last_accessed",
    }
)
"""What one memory of a list has and another has not."""
SECRET = frozenset({"resume_token"})


def settled(value: Any, key: str = "") -> Any:
    if key in SECRET:
        return "<token>"
    if key in ANY:
        return "<any>"
    if key in MEASURED:
        return _kind(value)
    if isinstance(value, dict):
        entries = list(value.items())[:1] if key in FIRST_ONLY else value.items()
        return {_text(name): settled(one, name) for name, one in entries}
    if isinstance(value, list):
        return [settled(one) for one in (_first(value) if key in FIRST_ONLY else value)]
    return _text(value) if isinstance(value, str) else value


def _first(entries: list[Any]) -> list[Any]:
    """Aria, where she is among them: other tests make personas whose names come before hers."""
    hers = [one for one in entries if isinstance(one, dict) and one.get("name") == "Aria"]
    return (hers or entries)[:1]


def _kind(value: Any) -> Any:
    """Numbers, texts and flags by name, of an object each, of a list the first."""
    if isinstance(value, dict):
        return {_text(name): "<any>" if name in ANY | OF_A_MEMORY else _kind(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_kind(one) for one in value[:1]]
    if value is None or isinstance(value, bool):
        return "<flag>" if isinstance(value, bool) else None
    return _TEXT if isinstance(value, str) else _NUMBER


def _text(text: str) -> str:
    for pattern, name in _WORDS:
        text = pattern.sub(name, text)
    return text


def settled_frames(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The frames of one answer. Of a stream's chunks, which merge when they wait together, the first."""
    chunks = [frame for frame in frames if _event(frame) == "stream_chunk"]
    kept = [frame for frame in frames if frame not in chunks[1:]]
    return [settled({**frame, "result": _unmerged(frame)} if frame in chunks else frame) for frame in kept]


def _event(frame: dict[str, Any]) -> Any:
    return (frame.get("result") or {}).get("event_type")


def _unmerged(frame: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in frame["result"].items() if name != "first_seq"}
