"""A large world: a save takes no longer than a small one's, a load as long as what it changes."""

from __future__ import annotations

import time

import pytest

from tests.integration.pmcp_memory.conftest import Service
from tests.integration.pmcp_memory.test_saves import load, remembered, save, store

MEMORIES = 100_000
MAX_SAVE_SECONDS = 0.2

_FILL = """
INSERT INTO memory.memories (
    tenant_id, id, persona_id, player_id, content, memory_type, embedding, embedding_model, occurred_at, thread_id,
    initial_importance, updated_at
)
SELECT
    'local', 'm' || n, 'aria', 'p1', 'fact ' || n, 'user_input', $1::text::vector::halfvec, 'words', now(), 'm' || n,
    0.5, now()
FROM generate_series(1, $2::integer) AS n
"""


async def fill(service: Service, count: int) -> None:
    (vector,) = await service.embedder.embed(["a fact"])
    text = "[" + ",".join(str(value) for value in vector) + "]"
    await service.rows.execute(_FILL, text, count, timeout=120)


@pytest.fixture
async def large(service: Service) -> Service:
    # No words and one vector: what is measured is saving, not recall. The indexes that grow slowest stay small.
    await fill(service, MEMORIES)
    return service


async def test_a_hundred_thousand_memories_are_saved_in_less_than_a_fifth_of_a_second(large: Service) -> None:
    times = []
    for _ in range(10):
        started = time.perf_counter()
        early = await save(large)
        times.append(time.perf_counter() - started)
    assert max(times) < MAX_SAVE_SECONDS
    print(f"save at {MEMORIES} memories: {sorted(times)[5] * 1000:.1f} ms")  # noqa: T201

    await store(large, "I own a red horse")
    late = await save(large)
    outcome = await load(large, early)
    assert (outcome["memories_hidden"], outcome["memories_shown"]) == (1, 0)
    assert "I own a red horse" not in await remembered(large)
    outcome = await load(large, late)
    assert (outcome["memories_hidden"], outcome["memories_shown"]) == (0, 1)
    assert "I own a red horse" in await remembered(large)
