"""Before PostgreSQL has statistics of the memories, which it gathers about a minute after they came: recall reads some
passes of them and no more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
import pytest

from pmcp_common.postgres import connect_pool
from pmcp_memory.database import SESSION_SETTINGS, Database
from pmcp_memory.recall_store import Question, RecallFilter, RecallStore, Viewer
from tests.integration.pmcp_memory.conftest import Service

MEMORIES = 1_200

_FILL = """
INSERT INTO memory.memories (
    tenant_id, id, persona_id, player_id, content, memory_type, embedding, embedding_model, occurred_at, thread_id,
    ordinal, initial_importance, words
)
SELECT
    tenant_id, id || '-' || n, persona_id, player_id, content, memory_type, embedding, embedding_model, occurred_at,
    thread_id, n + 1, initial_importance, words
FROM memory.memories, generate_series(1, $1::integer - 1) AS n
"""


class Explaining(Database):
    """Says how many rows the nodes of a statement's plan looked at, all together, when it ran."""

    looked_at = 0.0

    async def fetch(self, statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
        async with self.connection() as connection:
            self.looked_at += await _looked_at(connection, statement, arguments)
        return await super().fetch(statement, *arguments)

    async def fetch_planned_anew(self, statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
        async with self.connection() as connection, connection.transaction():
            await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
            self.looked_at += await _looked_at(connection, statement, arguments)
        return await super().fetch_planned_anew(statement, *arguments)


async def _looked_at(connection: Any, statement: str, arguments: Sequence[object]) -> float:
    told = await connection.fetchval(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}", *arguments)
    return _rows_of(orjson.loads(told)[0]["Plan"] if isinstance(told, str) else told[0]["Plan"])


def _rows_of(node: Mapping[str, Any]) -> float:
    once = node["Actual Rows"] + sum(rows for name, rows in node.items() if name.startswith("Rows Removed"))
    return float(once * node["Actual Loops"]) + sum(_rows_of(part) for part in node.get("Plans", ()))


@pytest.fixture
async def pool(service: Service) -> AsyncIterator[asyncpg.Pool]:
    pool = await connect_pool(
        service.dsn,
        application_name="test",
        min_size=1,
        max_size=2,
        statement_timeout_seconds=60,
        vectors=True,
        session_settings=SESSION_SETTINGS,
    )
    yield pool
    await pool.close()


async def test_no_plan_is_kept_that_was_made_without_statistics(service: Service, pool: asyncpg.Pool) -> None:
    await service.rows.execute("ALTER TABLE memory.memories SET (autovacuum_enabled = false)")
    await service.learn("my dog is called Rex")
    store, viewer = RecallStore(Database(pool, acquire_timeout_seconds=5)), Viewer("local", "aria", "p1")
    assert not (await store.describe(viewer)).analysed
    await service.rows.execute("ANALYZE memory.memories")
    assert (await store.describe(viewer)).analysed


@pytest.mark.parametrize("few", [True, False])
async def test_what_stands_around_is_found_by_its_place(service: Service, pool: asyncpg.Pool, few: bool) -> None:
    # Nobody gathers them while the test runs.
    await service.rows.execute("ALTER TABLE memory.memories SET (autovacuum_enabled = false)")
    await service.learn("my dog is called Rex")
    await service.rows.execute(_FILL, MEMORIES)
    vector = service.embedder._vector("what is my dog called?")
    question = Question("my dog", "my dog", vector, "words", datetime(2026, 6, 1, tzinfo=UTC), few_memories=few)
    database = Explaining(pool, acquire_timeout_seconds=5)
    found = await RecallStore(database).recall(Viewer("local", "aria", "p1"), question, RecallFilter())
    assert len(found) == 5
    # The nearest and those with the words are looked for among all; that is some passes, not one for each place.
    assert MEMORIES <= database.looked_at <= 40 * MEMORIES
