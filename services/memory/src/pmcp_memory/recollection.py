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
    Standing,
    Turn,
)
from pmcp_common.contracts.talks import partner_of
from pmcp_memory.access_counts import AccessCounts
from pmcp_memory.cues import asked_at_last, without_names
from pmcp_memory.embedding import Embedder, Urgency, Vector
from pmcp_memory.importance import Judgement, judge
from pmcp_memory.outlook import MAX_MATCHES, Outlook
from pmcp_memory.placing import Place, place, text_to_embed
from pmcp_memory.recall_store import Question, RecallFilter, RecallStore, Viewer
from pmcp_memory.store import MemoryStore, NewMemory, TypeStats

log = logging.getLogger(__name__)

FEW_WORDS = 24
"""So many words are all searched by; of more, the rarest."""


class Recollection:
    def __init__(
        self,
        store: MemoryStore,
        recalls: RecallStore,
        embedder: Embedder,
        accesses: AccessCounts,
        clock: Clock,
        new_id: Callable[[], str],
        *,
        recall_timeout_seconds: float,
    ) -> None:
        """`recall_timeout_seconds`: a reply goes on without memories rather than wait longer."""
        self._store = store
        self._recalls = recalls
        self._outlook = Outlook(recalls, clock)
        self._embedder = embedder
        self._accesses = accesses
        self._clock = clock
        self._new_id = new_id
        self._recall_timeout_seconds = recall_timeout_seconds

    async def close(self) -> None:
        await self._outlook.close()

    async def context(self, tenant: str, request: ContextRequest) -> ContextResponse:
        """The query is embedded while the turns are read. Raises Unavailable when the turns cannot be
        read."""
        deadline = asyncio.get_running_loop().time() + self._recall_timeout_seconds
        viewer = Viewer(tenant, request.persona_id, request.player_id)
        asking = asyncio.create_task(self._ask(viewer, request.query)) if request.max_memories else None
        try:
            turns, summary = await self._store.recent(
                tenant, request.conversation_id, request.persona_id, request.player_id, request.max_turns
            )
            if asking is None:
                return ContextResponse.model_construct(turns=turns, summary=summary, memories=(), recall="ok")
            memories = await self._recall_beside(viewer, request, turns, asking, deadline)
        finally:
            if asking is not None:
                asking.cancel()
                # Should the turns have failed as well, nobody else looks at this outcome.
                asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return ContextResponse.model_construct(
            turns=turns,
            summary=summary,
            memories=memories or (),
            recall="unavailable" if memories is None else "ok",
        )

    async def _recall_beside(
        self,
        viewer: Viewer,
        request: ContextRequest,
        turns: Sequence[Turn],
        asking: asyncio.Task[Question],
        deadline: float,
    ) -> tuple[RecalledMemory, ...] | None:
        """None: recall failed. What the turns already say is not recalled again."""
        sources = [turn.message_id for turn in turns]
        wanted = RecallFilter(without_sources=sources, limit=request.max_memories)
        try:
            async with asyncio.timeout_at(deadline):
                # A young conversation is in the turns as a whole: often there is nothing else to be reminded of,
                # and asking that costs a tenth of a search.
                if len(turns) < request.max_turns and not await self._recalls.anything_beyond(viewer, sources):
                    return ()
                return await self._recall(viewer, await asking, wanted)
        except (DomainError, TimeoutError) as error:
            log.warning("recall unavailable", extra={"reason": type(error).__name__})
            return None

    async def search(self, tenant: str, request: RecallRequest) -> RecallResponse:
        viewer = Viewer(tenant, request.persona_id, request.player_id)
        wanted = RecallFilter(request.memory_type, request.min_importance, as_of=request.as_of, limit=request.n_results)
        found = await self._recall(viewer, await self._ask(viewer, request.query), wanted)
        return RecallResponse.model_construct(memories=found)

    async def commit(self, tenant: str, turns: Sequence[Turn]) -> CommitResult:
        return CommitResult(stored=await self._store.add_turns(tenant, turns))

    async def find_turn(self, tenant: str, message_id: str) -> Turn:
        turn = await self._store.find_turn(tenant, message_id)
        if turn is None:
            raise NotFound("Message not found", message_id=message_id)
        return turn

    async def remember(self, tenant: str, message_ids: Sequence[str], standing: Standing | None = None) -> CommitResult:
        """All or none. Raises NotFound for a turn that is not committed, EmbeddingFailed when no vector
        comes."""
        stored, remembered = await self._store.turns_to_remember(tenant, message_ids)
        missing = sorted(set(message_ids) - {one.turn.message_id for one in stored})
        if missing:
            raise NotFound("A turn to remember is not committed", message_ids=missing)
        places = place(stored)
        judged = [
            (one.turn, judgement)
            for one in stored
            if one.turn.message_id not in remembered
            and (judgement := _judge(one.turn, places[one.turn.message_id], standing))
        ]
        if not judged:
            return CommitResult(stored=0)
        texts = [text_to_embed(places[turn.message_id].lead_in, turn.content) for turn, _ in judged]
        vectors = await self._embedder.embed(texts, Urgency.STORE)
        memories = [
            _memory_of(self._new_id(), turn, judgement, places[turn.message_id], vector)
            for (turn, judgement), vector in zip(judged, vectors, strict=True)
        ]
        return CommitResult(
            stored=await self._store.add_memories(tenant, self._embedder.name, memories, self._clock.now())
        )

    async def stats(self, tenant: str, persona_id: str, player_id: str) -> MemoryStats:
        started = time.perf_counter()
        now = self._clock.now()
        rows = await self._store.stats(tenant, persona_id, player_id, _midnight(now))
        if not rows:
            return MemoryStats(total_memories=0)
        return _total(rows, elapsed_ms=(time.perf_counter() - started) * 1000)

    async def _ask(self, viewer: Viewer, query: str) -> Question:
        known = await self._outlook.of(viewer)
        asked = asked_at_last(query)
        text = without_names(asked, known.speakers)
        (vector,) = await self._embedder.embed([text], Urgency.QUERY)
        return Question(
            text=asked,
            without_names=text,
            vector=vector,
            model=self._embedder.name,
            asked_at=self._clock.now(),
            common_words=await self._outlook.common_words(known.memories),
            frequent_words=await self._outlook.frequent_words() if len(asked.split()) > FEW_WORDS else (),
            few_memories=known.memories <= MAX_MATCHES,
            lasting_plan=known.analysed,
        )

    async def _recall(self, viewer: Viewer, question: Question, wanted: RecallFilter) -> tuple[RecalledMemory, ...]:
        found = await self._recalls.recall(viewer, question, wanted)
        self._accesses.note(viewer.tenant, [memory.id for memory in found])
        return found


def _memory_of(memory_id: str, turn: Turn, judgement: Judgement, place: Place, vector: Vector) -> NewMemory:
    return NewMemory(
        id=memory_id,
        persona_id=turn.persona_id,
        player_id=turn.player_id,
        content=turn.content,
        memory_type=judgement.memory_type,
        importance=judgement.importance,
        emotional_valence=judgement.emotional_valence,
        embedding=vector,
        occurred_at=turn.created_at,
        source=turn.message_id,
        place=place,
    )


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
        oldest_memory=min(row.oldest for row in rows),
        newest_memory=max(row.newest for row in rows),
        stats_calculation_time_ms=round(elapsed_ms, 3),
    )


def _judge(turn: Turn, place: Place, standing: Standing | None) -> Judgement | None:
    return judge(
        turn.role,
        turn.content,
        lead_in=place.lead_in,
        opens_sitting=place.opens_sitting,
        from_persona=partner_of(turn.player_id) is not None,
        standing=standing,
    )
