"""The use case of what a model learned: vectors first, then all or nothing. Between the API and `learning_store`."""

from __future__ import annotations

from collections.abc import Callable

from pmcp_common.clock import Clock
from pmcp_common.contracts.learning import Learned, LearningDraft, LearningTask
from pmcp_memory.conversation_store import Side
from pmcp_memory.embedding import Embedder, Urgency
from pmcp_memory.importance import importance, valence
from pmcp_memory.learning_store import LearningStore, NewLesson


class Learning:
    def __init__(self, store: LearningStore, embedder: Embedder, clock: Clock, new_id: Callable[[], str]) -> None:
        self._store = store
        self._embedder = embedder
        self._clock = clock
        self._new_id = new_id

    async def task(self, tenant: str, side: Side, batch: int) -> LearningTask:
        return await self._store.task(tenant, side, batch)

    async def learn(self, tenant: str, conversation_id: str, draft: LearningDraft) -> Learned:
        """Raises EmbeddingFailed when no vector comes: then nothing is stored, and the turns stay to be learned."""
        texts = [lesson.content for lesson in draft.lessons]
        vectors = await self._embedder.embed(texts, Urgency.STORE) if texts else []
        lessons = [
            NewLesson(
                id=self._new_id(),
                content=lesson.content,
                memory_type=lesson.memory_type,
                importance=importance(lesson.content),
                emotional_valence=valence(lesson.content),
                embedding=vector,
            )
            for lesson, vector in zip(draft.lessons, vectors, strict=True)
        ]
        model = self._embedder.name
        stored = await self._store.add(tenant, conversation_id, draft, lessons, model, self._clock.now())
        return Learned(stored=stored)
