"""What a model learned from turns, in rows. Owns `learning.sql`.

Lessons and the mark on their turns are one transaction: a repeated or late draft finds the mark and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

import asyncpg

from pmcp_common.contracts.errors import Conflict
from pmcp_common.contracts.learning import MAX_TURNS_TO_LEARN, LearningDraft, LearningTask, digest_of
from pmcp_common.contracts.memories import Turn
from pmcp_common.postgres import encode_vector, read_queries
from pmcp_memory.conversation_store import Side
from pmcp_memory.cues import cues_of
from pmcp_memory.database import Database
from pmcp_memory.embedding import Vector
from pmcp_memory.placing import session_of, world_time_of
from pmcp_memory.world import hold_memories


@dataclass(frozen=True, slots=True)
class NewLesson:
    id: str
    content: str
    memory_type: str
    importance: float
    emotional_valence: float
    embedding: Vector


class LearningStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = read_queries(files("pmcp_memory") / "learning.sql")

    async def task(self, tenant: str, side: Side, batch: int) -> LearningTask:
        """Due when nothing was learned yet from at least `batch` turns; the oldest of them."""
        rows = await self._database.fetch(
            self._queries["turns_to_learn"], tenant, *side.columns, max(batch, MAX_TURNS_TO_LEARN)
        )
        due = rows[:MAX_TURNS_TO_LEARN] if len(rows) >= batch else []
        return LearningTask(turns=tuple(Turn(**dict(row)) for row in due))

    async def add(
        self,
        tenant: str,
        conversation_id: str,
        draft: LearningDraft,
        lessons: Sequence[NewLesson],
        embedding_model: str,
        now: datetime,
    ) -> int:
        """How many were new; 0 for turns that were learned from already. Raises Conflict for turns that are not there,
        not of this conversation, or not as they were read."""
        side = Side(conversation_id, draft.persona_id, draft.player_id)
        async with self._database.connection() as connection, connection.transaction():
            await hold_memories(connection, tenant, side.persona_id, side.player_id)
            turns = await connection.fetch(
                self._queries["hold_turns"], tenant, *side.columns, sorted(set(draft.message_ids))
            )
            if len(turns) == len(set(draft.message_ids)) and all(turn["learned"] for turn in turns):
                return 0
            if digest_of((turn["message_id"], turn["content"]) for turn in turns) != draft.digest:
                raise Conflict("A turn to learn from was forgotten or changed meanwhile")
            if any(turn["learned"] for turn in turns):
                raise Conflict("Some of these turns were learned from meanwhile")
            ids = [turn["message_id"] for turn in turns]
            stored = await self._insert(connection, tenant, draft, turns, lessons, embedding_model, now)
            await connection.execute(self._queries["mark_learned"], tenant, ids)
        return stored

    async def _insert(
        self,
        connection: Any,
        tenant: str,
        draft: LearningDraft,
        turns: Sequence[asyncpg.Record],
        lessons: Sequence[NewLesson],
        embedding_model: str,
        now: datetime,
    ) -> int:
        newest = turns[-1]
        rows = await connection.fetch(
            self._queries["insert_lessons"],
            tenant,
            draft.persona_id,
            draft.player_id,
            {"made_by": "model", "model": draft.model},
            [turn["message_id"] for turn in turns],
            embedding_model,
            newest["created_at"],
            now,
            session_of(newest["metadata"]),
            world_time_of(newest["metadata"]),
            [lesson.id for lesson in lessons],
            [lesson.content for lesson in lessons],
            [lesson.memory_type for lesson in lessons],
            [lesson.importance for lesson in lessons],
            [lesson.emotional_valence for lesson in lessons],
            [f"learned:{draft.digest}:{number}" for number, _ in enumerate(lessons)],
            [encode_vector(lesson.embedding) for lesson in lessons],
            [int(cues_of(lesson.content)) for lesson in lessons],
        )
        return len(rows)
