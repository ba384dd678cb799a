"""The memory service's own code on a dialogue: turns committed and remembered as a worker does, questions searched as a
player does. No HTTP between: it would add the same to every figure.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from bench.memory.dialogues import Dialogue, Said
from pmcp_common.clock import SystemClock
from pmcp_common.contracts.memories import RecalledMemory, RecallRequest, Role, Turn
from pmcp_common.postgres import connect_pool
from pmcp_memory.access_counts import AccessCounts
from pmcp_memory.database import SESSION_SETTINGS, Database
from pmcp_memory.embedding import Embedder
from pmcp_memory.embedding_checked import CheckedEmbedder
from pmcp_memory.model_store import ModelStore
from pmcp_memory.recall_store import RecallStore
from pmcp_memory.recollection import Recollection
from pmcp_memory.store import MemoryStore

TENANT = "bench"
PLAYER = "player"
BATCH = 64
RANKED = 100


class Engine:
    def __init__(self, pool: asyncpg.Pool, embedder: Embedder) -> None:
        self.pool = pool
        database = Database(pool, acquire_timeout_seconds=60)
        store = MemoryStore(database)
        self.models = ModelStore(database)
        clock = SystemClock()
        numbers = itertools.count(1)
        self.recollection = Recollection(
            store,
            RecallStore(database),
            CheckedEmbedder(embedder, self.models),
            AccessCounts(store, clock),
            clock,
            new_id=lambda: f"memory-{next(numbers):08}",
            recall_timeout_seconds=60,
        )

    async def learn(self, dialogue: Dialogue, batch: int = BATCH) -> None:
        """The dialogue's id becomes the persona's."""
        turns = [_turn(dialogue, said) for said in dialogue.turns]
        for start in range(0, len(turns), batch):
            some = turns[start : start + batch]
            await self.recollection.commit(TENANT, some)
            await self.recollection.remember(TENANT, [turn.message_id for turn in some])

    async def analyse(self) -> None:
        """What autovacuum would have done by then."""
        async with self.pool.acquire() as connection:
            await connection.execute("VACUUM ANALYZE memory.memories")

    async def ask(self, persona_id: str, query: str, n_results: int = RANKED) -> tuple[RecalledMemory, ...]:
        request = RecallRequest(persona_id=persona_id, player_id=PLAYER, query=query, n_results=n_results)
        return (await self.recollection.search(TENANT, request)).memories

    async def rank(self, dialogue: Dialogue, query: str) -> list[str]:
        """Turn ids, best first."""
        found = await self.ask(dialogue.id, query)
        prefix = f"{dialogue.id}:"
        return [source.removeprefix(prefix) for memory in found for source in memory.source_message_ids]


@asynccontextmanager
async def running_engine(dsn: str, embedder: Embedder) -> AsyncIterator[Engine]:
    pool = await connect_pool(
        dsn,
        application_name="bench-memory",
        min_size=1,
        max_size=2,
        statement_timeout_seconds=600,
        vectors=True,
        session_settings=SESSION_SETTINGS,
    )
    engine = Engine(pool, embedder)
    try:
        yield engine
    finally:
        await engine.recollection.close()
        await pool.close()


def _turn(dialogue: Dialogue, said: Said) -> Turn:
    conversation, _, _ = said.id.rpartition("/")
    return Turn(
        message_id=f"{dialogue.id}:{said.id}",
        conversation_id=f"{dialogue.id}/{conversation}",
        persona_id=dialogue.id,
        player_id=PLAYER,
        role=Role.USER if said.by_player else Role.ASSISTANT,
        content=said.text,
        created_at=said.at,
        metadata={"speaker": said.speaker},
    )


def session_map(turns: Sequence[Said]) -> dict[str, object]:
    """Turn id → its session; sessions of pooled dialogues stay apart."""
    return {turn.id: (turn.id.rpartition("/")[0], turn.session) for turn in turns}
