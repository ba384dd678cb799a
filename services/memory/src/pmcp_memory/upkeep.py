"""What memories need when nobody looks: new vectors after a change of model, decay, pruning, indexes of large ones.

Any number of replicas run it; one holds the lease and works, the others look again later. Each step may be cut off
anywhere and done again: it reads what is there and writes what follows from it. One that fails is put off and the
next ones run. Never on the reply path.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from pmcp_common.clock import Clock
from pmcp_memory.database import surviving
from pmcp_memory.embedding import Embedder, Urgency
from pmcp_memory.model_store import ModelStore
from pmcp_memory.placing import text_to_embed
from pmcp_memory.pruning import PAUSE
from pmcp_memory.tending import Tending
from pmcp_memory.tending_store import Owner
from pmcp_memory.upkeep_store import UpkeepStore

log = logging.getLogger(__name__)

LEASE_SECONDS = 180.0
"""Renewed at each batch: two statements of at most a minute each."""
EXACT_MEMORIES = 20_000
"""Searched without an index they take some 15 ms (docs/memory.md)."""
_VECTORS_A_BATCH = 64


MODEL_HELD_SECONDS = 180.0
"""So long a model stays the agreed one after the last look of a replica that has it."""


def index_name(owner: Owner, model: str) -> str:
    identity = "\0".join((owner.tenant, owner.persona_id, owner.player_id or "", model))
    return f"memories_near_{hashlib.blake2b(identity.encode(), digest_size=12).hexdigest()}"


class LeaseLost(Exception):
    """Another replica works now."""


class Upkeep:
    def __init__(
        self,
        store: UpkeepStore,
        models: ModelStore,
        tending: Tending,
        embedder: Embedder,
        clock: Clock,
        holder: str,
        *,
        exact_memories: int = EXACT_MEMORIES,
        model_held_seconds: float = MODEL_HELD_SECONDS,
    ) -> None:
        """`holder`: unique to this process. `exact_memories`: of one player with one persona, so many are searched
        without an index. `model_held_seconds`: longer than the pause between two looks."""
        self._store = store
        self._models = models
        self._model_held_seconds = model_held_seconds
        self._tending = tending
        self._embedder = embedder
        self._clock = clock
        self._holder = holder
        self._exact_memories = exact_memories

    async def run_every(self, seconds: float) -> None:
        """Until cancelled. A database or a model that is away is tried again next time."""
        while True:
            await asyncio.sleep(seconds)
            try:
                with surviving(log, "upkeep put off"):
                    await self.run_once()
            except LeaseLost:
                log.info("upkeep goes on elsewhere")

    async def run_once(self) -> bool:
        """False: another replica holds the lease."""
        # Also without the lease: our model is in use.
        await self._is_our_model_agreed()
        if not await self._store.take_lease(self._holder, LEASE_SECONDS):
            return False
        try:
            for step in (self._embed_anew, self._decay, self._prune, self._index_large):
                await self._attempt(step)
        finally:
            await self._store.drop_lease(self._holder)
        return True

    async def _attempt(self, step: Callable[[], Awaitable[None]]) -> None:
        """What fails in it is tried again next time, and does not keep the others from running."""
        with surviving(log, "a step of upkeep put off", step=step.__name__):
            await step()

    async def _is_our_model_agreed(self) -> bool:
        """Of replicas with different models, those with the agreed one embed and index for all; the others would undo
        it."""
        agreed = await self._models.agree(self._embedder.name, self._model_held_seconds, self._clock.now())
        if agreed != self._embedder.name:
            log.warning("another model is agreed on", extra={"ours": self._embedder.name, "agreed": agreed})
        return agreed == self._embedder.name

    async def _embed_anew(self) -> None:
        if not await self._is_our_model_agreed():
            return
        while found := await self._store.foreign_vectors(self._embedder.name, _VECTORS_A_BATCH):
            texts = [text_to_embed(memory.lead_in, memory.content) for memory in found]
            vectors = await self._embedder.embed(texts, Urgency.STORE)
            await self._store.replace_vectors(self._embedder.name, list(zip(found, vectors, strict=True)))
            log.info("embedded anew", extra={"memories": len(found), "model": self._embedder.name})
            await self._renew()
            if not await self._is_our_model_agreed():
                return

    async def _decay(self) -> None:
        await self._tending.decay_due(self._renew)

    async def _prune(self) -> None:
        now = self._clock.now()
        if await self._is_due("prune", PAUSE, now):
            await self._tending.prune_due(self._renew)
            await self._store.mark_done("prune", now)

    async def _index_large(self) -> None:
        """Exact search up to a size, an index of one's own above it; back again below half of it."""
        for name in await self._store.idle_indexes(self._exact_memories):
            await self._store.drop_index(name)
        model = self._embedder.name
        if not await self._is_our_model_agreed():
            return
        for owner in await self._store.crowded_players(self._exact_memories, model):
            log.info("indexing a large memory")
            await self._keep_lease(self._store.make_index(owner, model, index_name(owner, model)))

    async def _keep_lease(self, work: Coroutine[Any, Any, None]) -> None:
        """Renews the lease while one long statement runs."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=LEASE_SECONDS / 4)
                await self._renew()
        finally:
            task.cancel()
        await task

    async def _is_due(self, work: str, every: timedelta, now: datetime) -> bool:
        return now - await self._store.done_at(work) >= every

    async def _renew(self) -> None:
        if not await self._store.take_lease(self._holder, LEASE_SECONDS):
            raise LeaseLost
