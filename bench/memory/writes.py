"""How many memories a second are written, embedding included: turns committed and remembered as a worker does.

Above it: `__main__`. Batches as large as a request may be, and one turn pair at a time, as chat brings them. The CPU
time of both processes says what one core gives when it has nothing else to do.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.memory.crowd import material_of, mixed_text
from bench.memory.dialogues import Dialogue, Said, read_first_person
from bench.memory.engine import Engine, running_engine
from bench.memory.latency import backends
from bench.memory.server import cpu_seconds, temporary_postgres
from pmcp_memory.embedding_minilm import open_minilm

HEADER = (
    "| | memories | seconds | memories/s | CPU ms a memory: PostgreSQL + service | memories a CPU second |\n"
    "|---|---|---|---|---|---|"
)


async def run_writes(cache: Path, count: int) -> None:
    embedder = await asyncio.to_thread(open_minilm, cache)
    material = material_of(read_first_person(), [[0.0]])
    print(HEADER)
    async with temporary_postgres() as dsn, running_engine(dsn, embedder) as engine:
        for name, batch in (("64 turns at a time", 64), ("2 turns at a time", 2)):
            texts = [mixed_text(material, seed) for seed in range(count)]
            pids = await backends(engine)
            sql, own = sum(map(cpu_seconds, pids)), time.process_time()
            seconds = await _write(engine, _dialogue(name.replace(" ", "-"), texts), batch)
            sql, own = sum(map(cpu_seconds, pids)) - sql, time.process_time() - own
            stored = await _count(engine, name.replace(" ", "-"))
            cpu = f"{sql * 1000 / stored:.1f} + {own * 1000 / stored:.1f} | {stored / (sql + own):.0f}"
            print(f"| {name} | {stored:,} | {seconds:.1f} | {stored / seconds:.0f} | {cpu} |", flush=True)
    await embedder.close()


async def _write(engine: Engine, dialogue: Dialogue, batch: int) -> float:
    started = time.perf_counter()
    await engine.learn(dialogue, batch=batch)
    return time.perf_counter() - started


async def _count(engine: Engine, persona_id: str) -> int:
    async with engine.pool.acquire() as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM memory.memories WHERE persona_id = $1", persona_id)
    return count


def _dialogue(name: str, texts: Sequence[str]) -> Dialogue:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    numbers = itertools.count()
    turns = [
        Said(str(number), "Mira", number % 2 == 0, text, 1, start + timedelta(minutes=number))
        for text, number in zip(texts, numbers, strict=False)
    ]
    return Dialogue(name, ("Mira", "Aria"), turns, [])
