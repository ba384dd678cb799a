"""An older database keeps what it holds when it is brought up to date."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path

import asyncpg
import pytest

from pmcp_common.postgres import migrate
from pmcp_memory.store import MIGRATIONS

_TURNS = """
INSERT INTO memory.turns (tenant_id, message_id, conversation_id, persona_id, player_id, role, content, created_at)
VALUES ('local', 'm1', 'c1', 'aria', 'p1', 'user', 'one', now()),
    ('local', 'm2', 'c1', 'aria', 'p2', 'user', 'two', now()),
    ('local', 'm3', 'c2', 'aria', 'p1', 'user', 'three', now())
"""
_SUMMARIES = """
INSERT INTO memory.summaries (tenant_id, conversation_id, content, upto_position, version)
SELECT 'local', conversation_id, content,
    coalesce((SELECT position FROM memory.turns WHERE message_id = upto), -1), version
FROM (VALUES ('c1', 'of p1', 'm1', 2), ('c2', NULL, 'none', 5)) AS s (conversation_id, content, upto, version)
"""
_MEMORIES = """
INSERT INTO memory.memories (
    tenant_id, id, persona_id, player_id, content, memory_type, embedding, embedding_model, occurred_at, thread_id,
    initial_importance, words
)
SELECT 'local', model, 'aria', 'p1', 'x', 'fact', array_fill(1::real, ARRAY[384])::vector::halfvec, model, now(), model,
    0.5, ''
FROM unnest(ARRAY['all-MiniLM-L6-v2/int8', 'openai/small']) AS m (model)
"""


@pytest.fixture
async def older(
    make_database: Callable[[Mapping[str, Traversable | Path]], Awaitable[str]], tmp_path: Path
) -> AsyncIterator[tuple[str, asyncpg.Connection]]:
    """As version 6 left it."""
    for number in range(1, 7):
        (source,) = [entry for entry in MIGRATIONS.iterdir() if entry.name.startswith(f"{number:04}_")]
        (tmp_path / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    dsn = await make_database({"memory": tmp_path})
    connection = await asyncpg.connect(dsn)
    yield dsn, connection
    await connection.close()


async def test_summaries_find_their_owners_and_vectors_their_models(older: tuple[str, asyncpg.Connection]) -> None:
    dsn, rows = older
    for statement in (_TURNS, _SUMMARIES, _MEMORIES):
        await rows.execute(statement)
    await rows.execute("CREATE INDEX odd ON memory.memories USING hnsw (embedding halfvec_cosine_ops)")
    await rows.execute("INSERT INTO memory.near_indexes VALUES ('local', 'aria', 'p1', 'odd')")
    await migrate(dsn, MIGRATIONS, "memory")
    summaries = await rows.fetch(
        "SELECT conversation_id, player_id, content, version FROM memory.summaries ORDER BY conversation_id, player_id"
    )
    assert [tuple(row) for row in summaries] == [("c1", "p1", "of p1", 2), ("c2", "p1", None, 5)]
    models = await rows.fetch("SELECT name, dimension FROM memory.embedding_models ORDER BY name")
    assert [tuple(row) for row in models] == [("all-MiniLM-L6-v2/int8", 384), ("openai/small/384", 384)]
    assert await rows.fetchval("SELECT to_regclass('memory.odd')") is None
    assert await rows.fetchval("SELECT count(*) FROM memory.near_indexes") == 0
