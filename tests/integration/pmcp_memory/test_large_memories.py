"""A crowded table: the nearest memories are found there, by a large memory's own index and by a small one without."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources.abc import Traversable

import asyncpg
import numpy as np
import numpy.typing as npt
import pytest

from pmcp_common.postgres import connect_pool, encode_vector
from pmcp_memory.database import SESSION_SETTINGS, Database
from pmcp_memory.model_store import ModelStore
from pmcp_memory.recall_store import Question, RecallFilter, RecallStore, Viewer
from pmcp_memory.store import MIGRATIONS
from pmcp_memory.tending_store import Owner
from pmcp_memory.upkeep import index_name
from pmcp_memory.upkeep_store import UpkeepStore

Floats = npt.NDArray[np.float32]

MODEL, DIMENSION = "scattered", 96
LARGE, SMALL, OTHERS = 12_000, 20, 399
"""Memories of one large memory and of each small one; 20,000 in all, so that a small one is a thousandth."""
NOW = datetime(2026, 6, 1, tzinfo=UTC)
QUESTIONS = 40

_STAGE = "CREATE TEMP TABLE stage (id text, persona_id text, player_id text, embedding public.vector)"
_MOVE = """
INSERT INTO memory.memories (
    tenant_id, id, persona_id, player_id, content, memory_type, embedding, embedding_model, occurred_at, thread_id,
    initial_importance, words
)
SELECT 'local', id, persona_id, player_id, id, 'fact', embedding::public.halfvec, $1, $2, id, 0.5, ''
FROM stage
"""


@dataclass
class Crowd:
    pool: asyncpg.Pool
    vectors: Mapping[Viewer, Floats]

    async def nearest(self, viewer: Viewer, vector: Floats) -> set[str]:
        """By the statement that recalls; no word is known, so that meaning alone decides."""
        database = Database(self.pool, acquire_timeout_seconds=5)
        few = len(self.vectors[viewer]) < 1_000
        question = Question("?", "?", vector.tolist(), MODEL, NOW, few_memories=few)
        found = await RecallStore(database).recall(viewer, question, RecallFilter(limit=70))
        return {memory.id for memory in found}

    def exact_ten(self, viewer: Viewer, vector: Floats) -> set[str]:
        order = np.argsort(-(self.vectors[viewer] @ vector))[:10]
        return {f"{viewer.persona_id}-{viewer.player_id}-{place}" for place in order}


def scattered(count: int, seed: int) -> Floats:
    """Around common centres, as texts are around subjects."""
    numbers = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((300, DIMENSION))
    vectors = centres[numbers.integers(0, 300, count)] + 0.9 * numbers.standard_normal((count, DIMENSION))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@pytest.fixture
async def crowd(
    make_database: Callable[[Mapping[str, Traversable]], Awaitable[str]],
) -> AsyncIterator[Crowd]:
    pool = await connect_pool(
        await make_database({"memory": MIGRATIONS}),
        application_name="test",
        min_size=1,
        max_size=2,
        statement_timeout_seconds=60,
        vectors=True,
        session_settings=SESSION_SETTINGS,
    )
    vectors = {Viewer("local", "aria", "large"): scattered(LARGE, 1)}
    vectors |= {Viewer("local", "aria", f"p{number}"): scattered(SMALL, 2 + number) for number in range(OTHERS)}
    vectors[Viewer("local", "kira", "large")] = scattered(SMALL, 1_000)
    async with pool.acquire() as connection:
        await connection.execute(_STAGE)
        await connection.copy_records_to_table("stage", records=_rows(vectors))
        await connection.execute("SET statement_timeout = 0")
        await connection.execute(_MOVE, MODEL, NOW)
        await connection.execute("ANALYZE memory.memories")
    yield Crowd(pool, vectors)
    await pool.close()


def _rows(vectors: Mapping[Viewer, Floats]) -> Iterator[tuple[str, str, str, bytes]]:
    for viewer, mine in vectors.items():
        for place, vector in enumerate(mine):
            name = f"{viewer.persona_id}-{viewer.player_id}-{place}"
            yield name, viewer.persona_id, viewer.player_id, encode_vector(vector.tolist())


async def test_the_nearest_are_found_by_a_large_memorys_index_and_exactly_by_a_small_one(crowd: Crowd) -> None:
    store = UpkeepStore(Database(crowd.pool, acquire_timeout_seconds=5))
    await ModelStore(Database(crowd.pool, acquire_timeout_seconds=5)).dimension_of(MODEL, DIMENSION)
    (owner,) = await store.crowded_players(10_000, MODEL)
    assert owner == Owner("local", "aria", "large")
    await store.make_index(owner, MODEL, index_name(owner, MODEL))
    questions = scattered(QUESTIONS, 77)
    found = total = 0
    for viewer in (Viewer("local", "aria", "large"), Viewer("local", "aria", "p7"), Viewer("local", "kira", "large")):
        hits = [len(await crowd.nearest(viewer, vector) & crowd.exact_ten(viewer, vector)) for vector in questions]
        if len(crowd.vectors[viewer]) == SMALL:
            assert hits == [10] * QUESTIONS
        found, total = found + sum(hits), total + 10 * QUESTIONS
        assert sum(hits) >= 0.98 * 10 * QUESTIONS
    assert await _uses(crowd, index_name(owner, MODEL)) >= QUESTIONS


async def _uses(crowd: Crowd, index: str) -> int:
    """How often the index was read. Each connection tells its own figures."""
    async with crowd.pool.acquire() as one, crowd.pool.acquire() as other:
        for connection in (one, other):
            await connection.execute("SELECT pg_stat_force_next_flush()")
        uses: int = await one.fetchval("SELECT idx_scan FROM pg_stat_all_indexes WHERE indexrelname = $1", index)
    return uses
