"""The use cases of single memories: stored by a client, read, edited, merged, forgotten.

Between the API and `life_store`. Nothing here runs while a player waits for a reply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pmcp_common.clock import Clock
from pmcp_common.contracts.memory_life import (
    EditMemory,
    Erased,
    MemoryRecord,
    MemoryToStore,
    MergeMemories,
    StoredMemories,
    StoreMemories,
)
from pmcp_memory.embedding import Embedder, Urgency, Vector
from pmcp_memory.importance import importance, valence
from pmcp_memory.life_store import LifeStore
from pmcp_memory.recall_store import Viewer
from pmcp_memory.store import MemoryStore, NewMemory


class Keeping:
    def __init__(
        self, store: MemoryStore, life: LifeStore, embedder: Embedder, clock: Clock, new_id: Callable[[], str]
    ) -> None:
        self._store = store
        self._life = life
        self._embedder = embedder
        self._clock = clock
        self._new_id = new_id

    async def store(self, tenant: str, request: StoreMemories) -> StoredMemories:
        """All or none. Vectors are made first: a failed embedding stores nothing."""
        vectors = await self._embed([memory.content for memory in request.memories])
        new = [
            self._new_memory(request, memory, vector) for memory, vector in zip(request.memories, vectors, strict=True)
        ]
        await self._store.add_memories(tenant, self._embedder.name, new, self._clock.now())
        return StoredMemories(ids=tuple(memory.id for memory in new))

    async def read(self, viewer: Viewer, memory_id: str) -> MemoryRecord:
        return await self._life.read(viewer, memory_id)

    async def edit(self, tenant: str, memory_id: str, change: EditMemory) -> MemoryRecord:
        viewer = Viewer(tenant, change.persona_id, change.player_id or "")
        await self._life.edit(viewer, memory_id, change, self._embed, self._embedder.name, self._clock.now())
        return await self._life.read(viewer, memory_id)

    async def merge(self, tenant: str, request: MergeMemories) -> MemoryRecord:
        viewer = Viewer(tenant, request.persona_id, request.player_id or "")
        await self._life.merge(viewer, request.into, request.others, self._clock.now())
        return await self._life.read(viewer, request.into)

    async def forget(self, viewer: Viewer, memory_id: str) -> Erased:
        return await self._life.forget(viewer, memory_id, self._embed, self._embedder.name, self._clock.now())

    async def _embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        return await self._embedder.embed(texts, Urgency.STORE)

    def _new_memory(self, request: StoreMemories, memory: MemoryToStore, vector: Vector) -> NewMemory:
        judged = importance(memory.content) if memory.importance is None else memory.importance
        felt = valence(memory.content) if memory.emotional_valence is None else memory.emotional_valence
        return NewMemory(
            id=self._new_id(),
            persona_id=request.persona_id,
            player_id=request.player_id,
            content=memory.content,
            memory_type=memory.memory_type,
            importance=judged,
            emotional_valence=felt,
            embedding=vector,
            occurred_at=memory.occurred_at or self._clock.now(),
            visibility=memory.visibility,
            related_personas=memory.related_personas,
            metadata=memory.metadata,
        )
