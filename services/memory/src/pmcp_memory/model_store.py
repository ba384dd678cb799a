"""Embedding models in rows: the dimension each name stands for, and the one that all memories are to have.

Owns `models.sql`. Replicas with different models agree on one here; what follows from it is `upkeep`'s.
"""

from __future__ import annotations

from datetime import datetime
from importlib.resources import files

from pmcp_common.postgres import read_queries
from pmcp_memory.database import Database


class ModelStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = read_queries(files("pmcp_memory") / "models.sql")

    async def dimension_of(self, name: str, dimension: int) -> int:
        """`dimension` when the name is new."""
        (row,) = await self._database.fetch(self._queries["dimension_of"], name, dimension)
        known: int = row["dimension"]
        return known

    async def agree(self, name: str, held_seconds: float, now: datetime) -> str:
        """The name of the agreed model: `name` when no replica with another one has been here for its `held_seconds`.
        Whoever has the agreed one holds it for so long from now."""
        arguments = (name, held_seconds, now)
        rows = await self._database.fetch(self._queries["hold_model"], *arguments)
        if not rows:
            rows = await self._database.fetch(self._queries["agreed_model"])
        agreed: str = rows[0]["name"]
        return agreed
