"""Reading memories and a player's records in pages. Owns `inspection.sql`; changes nothing.

A page ends by number or by size, whichever comes first. Pages are not one snapshot: what is written meanwhile may be
in a later one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import asyncpg

from pmcp_common.contracts.errors import InvalidParams, NotFound
from pmcp_common.contracts.memories import Turn, Visibility
from pmcp_common.contracts.memory_life import MAX_PAGE_BYTES, ExportPage, MemoryPage, SummaryRecord, WaitingMessage
from pmcp_memory.database import Database
from pmcp_memory.memory_records import memory_record, read_record_queries
from pmcp_memory.recall_store import Viewer

_KINDS = ("memories", "turns", "summaries", "waiting")
_MAX_POSITION = 2**63 - 1


class InspectionStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = read_record_queries(files("pmcp_memory") / "inspection.sql")

    async def list_memories(
        self,
        viewer: Viewer,
        limit: int,
        before: str | None,
        memory_type: str | None,
        visibility: Visibility | None,
    ) -> MemoryPage:
        """Those that happened before the memory `before`. Raises NotFound when it is not there (any more)."""
        who = (viewer.tenant, viewer.persona_id, viewer.player_id)
        moment = None
        if before is not None:
            places = await self._fetch("place_of", *who, before)
            if not places:
                raise NotFound("Memory not found", memory_id=before)
            moment = places[0]["occurred_at"]
        kind = None if visibility is None else visibility.value
        rows = await self._fetch("list_memories", *who, memory_type, kind, moment, before, limit + 1)
        page = _within_bytes(rows[:limit])
        memories = tuple(memory_record(row, viewer.player_id) for row in page)
        return MemoryPage(memories=memories, has_more=len(page) < len(rows))

    async def export(self, tenant: str, player_id: str, after: str | None, limit: int) -> ExportPage:
        """`after`: the `next` of the page before. Raises InvalidParams for one that is none."""
        kind, key = _cursor(after)
        rows = await self._fetch(f"page_of_{kind}", tenant, player_id, key, limit + 1)
        page = _within_bytes(rows[:limit])
        following = _next(kind, key, page) if len(page) < len(rows) else _beginning_after(kind)
        records: Mapping[str, Callable[[asyncpg.Record], Any]] = {
            "memories": lambda row: memory_record(row, player_id),
            "turns": _turn,
            "summaries": lambda row: SummaryRecord(**dict(row)),
            "waiting": _waiting,
        }
        return ExportPage(player_id=player_id, next=following, **{kind: tuple(records[kind](row) for row in page)})

    async def _fetch(self, query: str, *arguments: object) -> Sequence[asyncpg.Record]:
        return await self._database.fetch(self._queries[query], *arguments)


def _within_bytes(rows: Sequence[asyncpg.Record]) -> Sequence[asyncpg.Record]:
    held = 0
    for number, row in enumerate(rows):
        held += len((row["content"] or "").encode())
        if number and held > MAX_PAGE_BYTES:
            return rows[:number]
    return rows


def _cursor(after: str | None) -> tuple[str, str | int]:
    """What comes next, and after which of it: an id of memories, a position of turns, else how many before."""
    kind, _, key = (after or f"{_KINDS[0]}:").partition(":")
    if kind == _KINDS[0]:
        return kind, key
    if kind not in _KINDS or not (key.isascii() and key.isdigit() and int(key) <= _MAX_POSITION):
        raise InvalidParams("after: not the `next` of a page", field="after")
    return kind, int(key)


def _next(kind: str, key: str | int, page: Sequence[asyncpg.Record]) -> str:
    if kind == "memories":
        return f"{kind}:{page[-1]['id']}"
    if kind == "turns":
        return f"{kind}:{page[-1]['position']}"
    return f"{kind}:{int(key) + len(page)}"


def _beginning_after(kind: str) -> str | None:
    following = _KINDS.index(kind) + 1
    return None if following == len(_KINDS) else f"{_KINDS[following]}:0"


def _turn(row: asyncpg.Record) -> Turn:
    return Turn(**{name: value for name, value in row.items() if name != "position"})


def _waiting(row: asyncpg.Record) -> WaitingMessage:
    accepted_at = datetime.fromtimestamp(row["accepted_at"] / 1000, UTC)
    return WaitingMessage(
        job_id=row["job_id"], persona_id=row["persona_id"], message=row["content"] or "", accepted_at=accepted_at
    )
