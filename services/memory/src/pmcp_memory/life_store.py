"""Single memories, in rows: read, edit, merge, forget. Owns `life.sql`.

Each change is one transaction over all it reaches: a forgotten memory takes its summaries, its turns and the echoes
of its words in neighbours with it, or nothing happens. A player changes only that player's own; what the persona knows
by itself is changed only by a viewer without player.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.resources import files
from typing import Any

import asyncpg

from pmcp_common.contracts.errors import Conflict, NotFound
from pmcp_common.contracts.memory_life import EditMemory, Erased, MemoryRecord
from pmcp_memory.cues import cues_of
from pmcp_memory.database import Database
from pmcp_memory.embedding import Vector
from pmcp_memory.memory_records import memory_record, read_record_queries
from pmcp_memory.placing import lead_in_of, text_to_embed
from pmcp_memory.recall_store import Viewer
from pmcp_memory.restating import wording_key
from pmcp_memory.world import Words, enter_world, forget_elsewhere, messages_elsewhere

EmbedTexts = Callable[[Sequence[str]], Awaitable[Sequence[Vector]]]

_MAX_ATTEMPTS = 5
"""At what others change at the same time."""


@dataclass(frozen=True, slots=True)
class _Text:
    id: str
    content: str
    lead_in: str
    visibility: str


@dataclass(frozen=True, slots=True)
class _Reach:
    """How far a memory's words go."""

    memory: _Text
    echoes: tuple[_Text, ...]
    """Memories with a question of it before them."""


class LifeStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = read_record_queries(files("pmcp_memory") / "life.sql")

    async def read(self, viewer: Viewer, memory_id: str) -> MemoryRecord:
        """Raises NotFound, also for what the viewer may not see."""
        rows = await self._database.fetch(
            self._queries["read_memory"], viewer.tenant, viewer.persona_id, viewer.player_id, memory_id
        )
        if not rows:
            raise NotFound("Memory not found", memory_id=memory_id)
        return memory_record(rows[0], viewer.player_id)

    async def edit(
        self, viewer: Viewer, memory_id: str, change: EditMemory, embed: EmbedTexts, model: str, now: datetime
    ) -> None:
        """A new text, or new eyes on it, means a new vector. The old words go where a forgotten memory's go: out of the
        turns it was made of, the summaries of their conversations and the next memories' lead-in. Raises NotFound,
        Conflict when others change the same all the time."""
        for _ in range(_MAX_ATTEMPTS):
            reach = await self._look(viewer, memory_id)
            text = _new_text(reach, change)
            said = change.content if change.content != reach.memory.content else None
            echoes = _echoes(reach, said) if said is not None else []
            texts = [*([] if text is None else [text]), *(text_to_embed(echo.lead_in, echo.content) for echo in echoes)]
            vectors = list(await embed(texts)) if texts else []
            async with self._database.connection() as connection, connection.transaction():
                row = await self._hold(connection, viewer, reach)
                if row is None:
                    continue
                vector = None if text is None else vectors.pop(0)
                await connection.execute(
                    self._queries["edit_memory"],
                    viewer.tenant,
                    memory_id,
                    change.content,
                    change.memory_type,
                    change.importance,
                    change.emotional_valence,
                    None if change.visibility is None else change.visibility.value,
                    change.pinned,
                    vector,
                    model,
                    None if text is None else wording_key(text),
                    now,
                    None if text is None else int(cues_of(text)),
                    None if change.related_personas is None else list(change.related_personas),
                )
                if said is not None:
                    await self._change_lead_ins(connection, viewer.tenant, echoes, vectors, model)
                    await self._empty_summaries(connection, viewer, row, now)
                    edited = (viewer.tenant, row["source_message_ids"], said, now)
                    await connection.execute(self._queries["edit_turns"], *edited)
                    await self._delete_lessons(connection, viewer.tenant, row["source_message_ids"])
            return
        raise Conflict("The memory is being changed by others")

    async def merge(self, viewer: Viewer, into: str, others: Sequence[str], now: datetime) -> None:
        """Raises NotFound when one of them is not there, Conflict when not the same may see them all."""
        gone = sorted(set(others) - {into})
        async with self._database.connection() as connection, connection.transaction():
            await enter_world(connection, viewer.tenant, viewer.player_id)
            rows = await self._own(connection, viewer, [into, *gone])
            if len({row["visibility"] for row in rows}) > 1:
                raise Conflict("Memories of different visibility are not merged")
            if any(row["learned_from"] for row in rows):
                raise Conflict("What a model learned is not merged: it ends with any turn it was made of")
            await connection.execute(self._queries["gain_sources"], viewer.tenant, into, gone, now)
            await connection.execute(self._queries["move_sources"], viewer.tenant, into, gone)
            await connection.execute(self._queries["delete_memories"], viewer.tenant, gone)

    async def forget(self, viewer: Viewer, memory_id: str, embed: EmbedTexts, model: str, now: datetime) -> Erased:
        """With all turns it was made of, the summaries of their conversations, and their questions in front of the
        next memories. Raises NotFound, Conflict when others change the same all the time."""
        tenant = viewer.tenant
        for _ in range(_MAX_ATTEMPTS):
            reach = await self._look(viewer, memory_id)
            echoes = _echoes(reach, "")
            vectors = await embed([echo.content for echo in echoes]) if echoes else []
            async with self._database.connection() as connection, connection.transaction():
                row = await self._hold(connection, viewer, reach)
                if row is None:
                    continue
                await self._change_lead_ins(connection, tenant, echoes, vectors, model)
                summaries = await self._empty_summaries(connection, viewer, row, now)
                await connection.execute(self._queries["delete_memories"], tenant, [memory_id])
                turns, lessons = await self._delete_turns(connection, viewer, row)
            return Erased(memories=1 + lessons, turns=turns, summaries=summaries)
        raise Conflict("The memory is being changed by others")

    async def _delete_turns(self, connection: Any, viewer: Viewer, row: asyncpg.Record) -> tuple[int, int]:
        """All that the memory was made of, in this world and in those that were saved, and what a model learned from
        it; how many turns and lessons there were."""
        elsewhere, threads = await messages_elsewhere(connection, viewer, row["id"])
        sources = {*row["source_message_ids"], *elsewhere}
        turns = await connection.fetch(self._queries["delete_turns"], viewer.tenant, sorted(sources))
        # Before the other moments: what a save holds is put away when it is deleted.
        lessons = await self._delete_lessons(connection, viewer.tenant, sorted(sources))
        texts = [row["content"], *(turn["content"] for turn in turns)]
        threads |= {row["thread_id"], *(turn["conversation_id"] for turn in turns)}
        words = Words(frozenset(sources), frozenset(threads), texts)
        gone = {turn["message_id"] for turn in turns}
        return len(gone | set(await forget_elsewhere(connection, viewer, row["id"], words))), lessons

    async def _delete_lessons(self, connection: Any, tenant: str, message_ids: Sequence[str]) -> int:
        if not message_ids:
            return 0
        return len(await connection.fetch(self._queries["delete_lessons"], tenant, message_ids))

    async def _look(self, viewer: Viewer, memory_id: str) -> _Reach:
        """Without a lock: vectors take long to make. What was read is compared when it is held."""
        async with self._database.connection() as connection:
            return await self._reach(connection, viewer, memory_id)

    async def _reach(self, connection: Any, viewer: Viewer, memory_id: str) -> _Reach:
        rows = await connection.fetch(self._queries["reach"], *_owner(viewer), memory_id)
        found = {row["id"]: _Text(row["id"], row["content"], row["lead_in"], row["visibility"]) for row in rows}
        if memory_id not in found:
            raise NotFound("Memory not found among one's own", memory_ids=[memory_id])
        return _Reach(found.pop(memory_id), tuple(found.values()))

    async def _hold(self, connection: Any, viewer: Viewer, reach: _Reach) -> asyncpg.Record | None:
        """The row of the memory, locked like its turns and the memories it reaches; None: it is no more as it was."""
        memory_id = reach.memory.id
        await enter_world(connection, viewer.tenant, viewer.player_id)
        await connection.execute(self._queries["hold_turns"], *_owner(viewer), memory_id)
        ids = [memory_id, *(echo.id for echo in reach.echoes)]
        rows: Sequence[asyncpg.Record] = await connection.fetch(self._queries["own_memories"], *_owner(viewer), ids)
        if await self._reach(connection, viewer, memory_id) != reach:
            return None
        (held,) = (row for row in rows if row["id"] == memory_id)
        return held

    async def _change_lead_ins(
        self, connection: Any, tenant: str, echoes: Sequence[_Text], vectors: Sequence[Vector], model: str
    ) -> None:
        for echo, vector in zip(echoes, vectors, strict=True):
            await connection.execute(self._queries["change_lead_in"], tenant, echo.id, echo.lead_in, vector, model)

    async def _empty_summaries(self, connection: Any, viewer: Viewer, row: asyncpg.Record, now: datetime) -> int:
        """Of the conversations in which it was said; how many there were."""
        if not row["source_message_ids"]:
            return 0
        said = await connection.fetch(self._queries["conversations_of"], viewer.tenant, row["source_message_ids"])
        threads = sorted({row["thread_id"], *(turn["conversation_id"] for turn in said)})
        owner = (viewer.tenant, viewer.persona_id, viewer.player_id)
        return len(await connection.fetch(self._queries["empty_summaries"], *owner, threads, now))

    async def _own(self, connection: Any, viewer: Viewer, ids: Sequence[str]) -> Sequence[asyncpg.Record]:
        rows: Sequence[asyncpg.Record] = await connection.fetch(
            self._queries["own_memories"], viewer.tenant, viewer.persona_id, viewer.player_id or None, list(ids)
        )
        missing = sorted(set(ids) - {row["id"] for row in rows})
        if missing:
            raise NotFound("Memory not found among one's own", memory_ids=missing)
        return rows


def _owner(viewer: Viewer) -> tuple[str, str, str | None]:
    return viewer.tenant, viewer.persona_id, viewer.player_id or None


def _new_text(reach: _Reach, change: EditMemory) -> str | None:
    """What is to be embedded of the memory itself; None: its vector stays."""
    if change.content is not None and change.content != reach.memory.content:
        return change.content
    shown = change.visibility is not None and change.visibility.value != "private"
    return reach.memory.content if shown and reach.memory.lead_in else None


def _echoes(reach: _Reach, content: str) -> list[_Text]:
    """The memories behind it as they are to be: with the question of its new text before them, where they carry that
    of the old one, else with none."""
    old, new = lead_in_of(reach.memory.content), lead_in_of(content)
    return [replace(echo, lead_in=new if echo.lead_in == old else "") for echo in reach.echoes]
