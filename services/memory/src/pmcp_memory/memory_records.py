"""A row of a memory as somebody may see it, and the columns it is made of (`memory_records.sql`)."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import asyncpg

from pmcp_common.contracts.memory_life import MemoryRecord
from pmcp_common.postgres import read_queries

_COLUMNS = read_queries(files("pmcp_memory") / "memory_records.sql")["record"]

_UNTOLD: dict[str, Any] = {
    "player_id": None,
    "participants": (),
    "speaker": None,
    "source_message_ids": (),
    "session_id": None,
    "metadata": {},
    "merged_from": (),
}


def read_record_queries(source: Traversable) -> dict[str, str]:
    """Statements that select `:record`."""
    return {name: text.replace(":record", _COLUMNS) for name, text in read_queries(source).items()}


def memory_record(row: asyncpg.Record, player_id: str) -> MemoryRecord:
    """To this player (empty: to the persona itself). Of another player's it tells what was shared, and not by whom."""
    values = dict(row)
    for name in ("importance", "initial_importance", "emotional_valence"):
        values[name] = round(values[name], 4)
    owner = values["player_id"] or ""
    values["own"] = owner == player_id
    return MemoryRecord(**(values if not owner or values["own"] else values | _UNTOLD))
