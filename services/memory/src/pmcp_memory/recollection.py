"""The use cases of memory: what one reply needs, what was said, what becomes a memory, what comes back.

Between the API and the store. A failure and an empty result stay apart: `context` says when recall
failed, everything else raises.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from pmcp_common.clock import Clock
from pmcp_common.contracts.errors import DomainError, NotFound
from pmcp_common.contracts.memories import (
    CommitResult,
    ContextRequest,
    ContextResponse,
    MemoryStats,
    RecalledMemory,
    RecallRequest,
    RecallResponse,
    Turn,
)
from pmcp_memory.access_counts import AccessCounts
from pmcp_memory.embedding import Embedder, Urgency, Vector
from pmcp_memory.importance import judge
from pmcp_memory.store import MemoryStore, NewMemory, RecallFilter, TypeStats

log = logging.getLogger(__name__)


class Recollection:
    def __init__(
        self,
        store: MemoryStore,
        embedder: Embedder,
        accesses: AccessCounts,
        clock: Clock,
        new_id: Callable[[], str],
        *,
        recall_timeout_seconds: float,
    ) -> None:
        """`recall_timeout_seconds`: a reply goes on without memories rather than wait longer."""
        self._store = store
        self._embedder = embedder
        self._accesses = accesses
        self._clock = clock
        self._new_id = new_id
        self._recall_timeout_seconds = recall_timeout_seconds

    async def context(self, tenant: str, request: ContextRequest) -> ContextResponse:
        """The query is embedded while the turns are read. Raises Unavailable when the turns cannot be
        read."""
        deadline = asyncio.get_running_loop().time() + self._recall_timeout_seconds
        embedding = asyncio.create_task(self._embed_query(request.query)) if request.max_memories else None
        try:
            turns, summary = await self._store.recent(
                tenant, request.conversation_id, request.persona_id, request.player_id, request.max_turns
            )
            if embedding is None:
                return ContextResponse.model_construct(turns=turns, summary=summary, memories=(), recall="ok")
            memories = await self._recall_beside(tenant, request, turns, embedding, deadline)
        finally:
            if embedding is not None:
                embedding.cancel()
                # Should the turns have failed as well, nobody else looks at this outcome.
                embedding.add_done_callback(lambda task: task.cancelled() or task.exception())
        return ContextResponse.model_construct(
            turns=turns,
            summary=summary,
            memories=memories or (),
            recall="unavailable" if memories is None else "ok",
        )

    async def _recall_beside(
        self,
        tenant: str,
        request: ContextRequest,
        turns: Sequence[Turn],
        embedding: asyncio.Task[Vector],
        deadline: float,
    ) -> tuple[RecalledMemory, ...] | None:
        """None: recall failed. What the turns already say is not recalled again."""
        wanted = RecallFilter(without_sources=[turn.message_id for turn in turns], limit=request.max_memories)
        try:
            async with asyncio.timeout_at(deadline):
                return await self._nearest(tenant, request.persona_id, request.player_id, await embedding, wanted)
        except (DomainError, TimeoutError) as error:
            log.warning("recall unavailable", extra={"reason": type(error).__name__})
            return None

    async def search(self, tenant: str, request: RecallRequest) -> RecallResponse:
        vector = await self._embed_query(request.query)
        wanted = RecallFilter(request.memory_type, request.min_importance, limit=request.n_results)
        found = await self._nearest(tenant, request.persona_id, request.player_id, vector, wanted)
        return RecallResponse.model_construct(memories=found)

    async def commit(self, tenant: str, turns: Sequence[Turn]) -> CommitResult:
        return CommitResult(stored=await self._store.add_turns(tenant, turns))

    async def find_turn(self, tenant: str, message_id: str) -> Turn:
        turn = await self._store.find_turn(tenant, message_id)
        if turn is None:
            raise NotFound("Message not found", message_id=message_id)
        return turn

    async def remember(self, tenant: str, message_ids: Sequence[str]) -> CommitResult:
        """All or none. Raises NotFound for a turn that is not committed, EmbeddingFailed when no vector
        comes."""
        turns, remembered = await self._store.turns_to_remember(tenant, message_ids)
        missing = sorted(set(message_ids) - {turn.message_id for turn in turns})
        if missing:
            raise NotFound("A turn to remember is not committed", message_ids=missing)
        judged = [
            (turn, judgement)
            for turn in turns
            if turn.message_id not in remembered and (judgement := judge(turn.role, turn.content))
        ]
        if not judged:
            return CommitResult(stored=0)
        vectors = await self._embedder.embed([turn.content for turn, _ in judged], Urgency.STORE)
        memories = [
            NewMemory(
                self._new_id(),
                turn,
                judgement.memory_type,
                judgement.importance,
                judgement.emotional_valence,
                vector,
            )
            for (turn, judgement), vector in zip(judged, vectors, strict=True)
        ]
        return CommitResult(stored=await self._store.add_memories(tenant, self._embedder.name, memories))

    async def stats(self, tenant: str, persona_id: str, player_id: str) -> MemoryStats:
        started = time.perf_counter()
        now = self._clock.now()
        rows = await self._store.stats(tenant, persona_id, player_id, _midnight(now))
        if not rows:
            return MemoryStats(total_memories=0)
        return _total(rows, elapsed_ms=(time.perf_counter() - started) * 1000)

    async def _embed_query(self, query: str) -> Vector:
        return (await self._embedder.embed([query], Urgency.QUERY))[0]

    async def _nearest(
        self, tenant: str, persona_id: str, player_id: str, vector: Vector, wanted: RecallFilter
    ) -> tuple[RecalledMemory, ...]:
        found = await self._store.nearest(tenant, persona_id, player_id, vector, self._embedder.name, wanted)
        self._accesses.note(tenant, [memory.id for memory in found])
        return found


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _total(rows: Sequence[TypeStats], elapsed_ms: float) -> MemoryStats:
    total = sum(row.memories for row in rows)
    return MemoryStats(
        total_memories=total,
        avg_importance=round(min(sum(row.importance for row in rows) / total, 1.0), 4),
        memory_types={row.memory_type: row.memories for row in rows},
        high_importance_count=sum(row.important for row in rows),
        created_today=sum(row.today for row in rows),
        stats_calculation_time_ms=round(elapsed_ms, 3),
    )
