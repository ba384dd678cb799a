"""How long one recall takes, embedding included, and its CPU; and whether a scale's shortcuts still find the best.

Above it: `__main__`. One question after another on one connection: what a single core gives.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench.memory.crowd import Material, add_crowd, material_of
from bench.memory.dialogues import read_first_person
from bench.memory.engine import PLAYER, TENANT, Engine, running_engine
from bench.memory.server import cpu_seconds, temporary_postgres
from pmcp_memory.database import Database
from pmcp_memory.embedding import Embedder, Urgency
from pmcp_memory.embedding_minilm import open_minilm
from pmcp_memory.upkeep import EXACT_MEMORIES, index_name
from pmcp_memory.upkeep_store import UpkeepStore

QUESTIONS = 150
WARM_UP = 20
NEIGHBOURS = 10

_NEAREST = """
SELECT id FROM memory.memories
WHERE tenant_id = $1 AND persona_id = $2 AND player_id = $3 AND embedding_model = $4
ORDER BY embedding::public.halfvec({dimension}) <=> $5::vector::halfvec LIMIT $6
"""


@dataclass(frozen=True, slots=True)
class Latency:
    name: str
    memories: int
    rows: int
    times_ms: Sequence[float]
    sql_cpu_ms: float
    own_cpu_ms: float
    """Of this process: embedding, driver, contract models."""
    recall: float | None
    """Share of the exact ten nearest that the search by meaning sees; None: all of them."""

    def line(self) -> str:
        p50, p95, p99 = (percentile(self.times_ms, share) for share in (0.5, 0.95, 0.99))
        found = "all" if self.recall is None else f"{self.recall:.3f}"
        return (
            f"| {self.name} | {self.memories:,} | {self.rows:,} | {p50:.1f} | {p95:.1f} | {p99:.1f}"
            f" | {self.sql_cpu_ms:.1f} + {self.own_cpu_ms:.1f} | {found} |"
        )


HEADER = (
    "| search | memories of the player | rows in the table | p50 ms | p95 ms | p99 ms | CPU ms: PostgreSQL + service"
    " | nearest ten found |\n|---|---|---|---|---|---|---|---|"
)


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


async def run_latency(cache: Path, sizes: Sequence[int], *, million: bool) -> None:
    embedder = await asyncio.to_thread(open_minilm, cache)
    dialogues = read_first_person()
    texts = [turn.text for dialogue in dialogues for turn in dialogue.turns]
    material = material_of(dialogues, await embedder.embed(texts))
    questions = [query.text for dialogue in dialogues for query in dialogue.queries][:QUESTIONS]
    print(HEADER)
    async with temporary_postgres("1GB") as dsn, running_engine(dsn, embedder) as engine:
        rows = 0
        for seed, size in enumerate(sizes):
            rows += size
            await _fill(dsn, material, f"persona-{size}", size, embedder.name, seed)
            await keep_up(engine, embedder.name, material.dimension)
            print((await _measure(engine, embedder, f"persona-{size}", size, rows, questions)).line(), flush=True)
        if million:
            await _fill_to_a_million(dsn, material, embedder.name, rows)
            await keep_up(engine, embedder.name, material.dimension)
            for size in sizes:
                one = await _measure(engine, embedder, f"persona-{size}", size, 1_000_000, questions)
                print(one.line(), flush=True)
    await embedder.close()


async def _fill(dsn: str, material: Material, persona_id: str, size: int, model: str, seed: int) -> None:
    connection = await connect_for_copy(dsn)
    await add_crowd(connection, material, persona_id, size, model, seed)
    await connection.close()


async def _fill_to_a_million(dsn: str, material: Material, model: str, rows: int) -> None:
    """Other personas of a thousand memories each: the measured ones of 1,000 then hold 0.1 % of the table."""
    connection = await connect_for_copy(dsn)
    for number in range((1_000_000 - rows) // 1_000):
        await add_crowd(connection, material, f"other-{number}", 1_000, model, 1_000 + number)
    await connection.close()


async def keep_up(engine: Engine, model: str, dimension: int) -> None:
    """What upkeep and autovacuum would have done by then."""
    store = UpkeepStore(Database(engine.pool, acquire_timeout_seconds=60))
    await engine.models.dimension_of(model, dimension)
    for owner in await store.crowded_players(EXACT_MEMORIES, model):
        await store.make_index(owner, model, index_name(owner, model))
    await engine.analyse()


async def connect_for_copy(dsn: str) -> asyncpg.Connection:
    connection = await asyncpg.connect(dsn)
    # The codec of the service's pool: a vector is bytes already.
    await connection.set_type_codec(
        "vector", schema="public", format="binary", encoder=lambda value: value, decoder=bytes
    )
    return connection


async def _measure(
    engine: Engine, embedder: Embedder, persona_id: str, size: int, rows: int, questions: Sequence[str]
) -> Latency:
    for question in questions[:WARM_UP]:
        await engine.ask(persona_id, question, NEIGHBOURS)
    pids = await backends(engine)
    before, own_before = sum(map(cpu_seconds, pids)), time.process_time()
    times = []
    for question in questions:
        started = time.perf_counter()
        await engine.ask(persona_id, question, NEIGHBOURS)
        times.append((time.perf_counter() - started) * 1000)
    spent = (sum(map(cpu_seconds, pids)) - before) * 1000 / len(questions)
    own = (time.process_time() - own_before) * 1000 / len(questions)
    recall = await _nearest_found(engine, embedder, persona_id, questions[:50])
    name = "exact" if size < EXACT_MEMORIES else "own HNSW index"
    return Latency(name, size, rows, times, spent, own, recall)


async def backends(engine: Engine) -> list[int]:
    async with engine.pool.acquire() as connection:
        rows = await connection.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'bench-memory'")
    return [row["pid"] for row in rows]


async def _nearest_found(engine: Engine, embedder: Embedder, persona_id: str, questions: Sequence[str]) -> float | None:
    """The same search as recall's, with and without index."""
    found = total = 0
    async with engine.pool.acquire() as connection:
        for question in questions:
            (vector,) = await embedder.embed([question], Urgency.QUERY)
            nearest = _NEAREST.format(dimension=len(vector))
            arguments = (TENANT, persona_id, PLAYER, embedder.name, vector, NEIGHBOURS)
            async with connection.transaction():
                await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
                quick = {row["id"] for row in await connection.fetch(nearest, *arguments)}
                # Sorting is exact; only an index scan is approximate.
                await connection.execute("SET LOCAL enable_indexscan = off")
                exact = {row["id"] for row in await connection.fetch(nearest, *arguments)}
            found += len(quick & exact)
            total += len(exact)
    return found / total if found < total else None
