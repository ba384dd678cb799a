"""A row of a memory as somebody may see it."""

from __future__ import annotations

from typing import Any

import asyncpg

from pmcp_common.contracts.memory_life import MemoryRecord

_UNTOLD: dict[str, Any] = {
    "player_id": None,
    "participants": (),
    "speaker": None,
    "source_message_ids": (),
    "session_id": None,
    "metadata": {},
    "merged_from": (),
}


def memory_record(row: asyncpg.Record, player_id: str) -> MemoryRecord:
    """To this player (empty: to the persona itself). Of another player's it tells what was shared, and not by whom."""
    values = dict(row)
    for name in ("importance", "initial_importance", "emotional_valence"):
        values[name] = round(values[name], 4)
    owner = values["player_id"] or ""
    values["own"] = owner == player_id
    return MemoryRecord(**(values if not owner or values["own"] else values | _UNTOLD))
