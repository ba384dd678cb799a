"""How long it takes to save a player's world and to load one, by how much there is and how much changes; and whether
recall is as quick and as good in a world that was loaded. A world has memories, and conversations with a summary each.

Above it: `__main__`. One after another on one connection, with the service's own code.
"""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.memory.crowd import Material, add_crowd, material_of
from bench.memory.dialogues import read_first_person
from bench.memory.engine import PLAYER, TENANT, Engine, running_engine
from bench.memory.latency import connect_for_copy, keep_up
from bench.memory.server import temporary_postgres
from pmcp_common.clock import SystemClock
from pmcp_common.contracts.saves import SaveWorld
from pmcp_memory.database import Database
from pmcp_memory.embedding_minilm import open_minilm
from pmcp_memory.loading import Loading
from pmcp_memory.saves_store import SavesStore
from pmcp_memory.upkeep import EXACT_MEMORIES
from pmcp_memory.upkeep_store import UpkeepStore

SAVES = 50
LATER = 1_000
FEW = 50
QUESTIONS = 60
RESULTS = 10
PERSONA = "persona"
CONVERSATIONS, TURNS = 20, 100

_TURNS = """
WITH said AS (
    INSERT INTO memory.turns (
        tenant_id, message_id, conversation_id, persona_id, player_id, role, content, created_at
    )
    SELECT
        $1, 'turn-' || c || '-' || t, 'conversation-' || c, $2, $3, CASE t % 2 WHEN 1 THEN 'user' ELSE 'assistant' END,
        'what was said as number ' || t, now()
    FROM generate_series(1, $4::integer) AS c, generate_series(1, $5::integer) AS t
    RETURNING tenant_id, message_id
)
-- As if memories had been made of them: a load makes none.
INSERT INTO memory.sources (tenant_id, message_id) SELECT tenant_id, message_id FROM said
"""
_SUMMARIES = """
INSERT INTO memory.summaries (tenant_id, conversation_id, persona_id, player_id, content, upto_position)
SELECT tenant_id, conversation_id, persona_id, player_id, 'what was said before', max(position)
FROM memory.turns
GROUP BY tenant_id, conversation_id, persona_id, player_id
"""

HEADER = (
    "| memories | save ms, median / worst of 50 | recall p50 ms before | load: 1,000 go, s | 1,000 come back, s"
    " | recall p50 ms then | all go, s | 50 left: recall p50 ms, found of 10 | all come back, s |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class Bench:
    dsn: str
    engine: Engine
    saves: SavesStore
    loading: Loading
    material: Material
    questions: Sequence[str]
    model: str

    async def add(self, count: int, prefix: str, seed: int) -> None:
        """Memories of one persona; `prefix` keeps their ids apart."""
        connection = await connect_for_copy(self.dsn)
        await add_crowd(connection, self.material, prefix, count, self.model, seed)
        await connection.execute("UPDATE memory.memories SET persona_id = $1 WHERE persona_id = $2", PERSONA, prefix)
        await connection.close()

    async def talk(self) -> None:
        connection = await connect_for_copy(self.dsn)
        await connection.execute(_TURNS, TENANT, PERSONA, PLAYER, CONVERSATIONS, TURNS)
        await connection.execute(_SUMMARIES)
        await connection.close()

    async def save(self) -> str:
        return (await self.saves.save(TENANT, _world(), datetime.now(UTC))).save_id

    async def load(self, save_id: str) -> float:
        started = time.perf_counter()
        await self.loading.load(TENANT, save_id, _world())
        return time.perf_counter() - started

    async def recall(self) -> tuple[float, float]:
        """The median in ms, and how many memories a question brings."""
        times, found = [], 0
        for question in self.questions:
            started = time.perf_counter()
            found += len(await self.engine.ask(PERSONA, question, RESULTS))
            times.append((time.perf_counter() - started) * 1000)
        return statistics.median(times), found / len(self.questions)


async def run_saves(cache: Path, sizes: Sequence[int]) -> None:
    embedder = await asyncio.to_thread(open_minilm, cache)
    dialogues = read_first_person()
    material = material_of(dialogues, await embedder.embed([turn.text for one in dialogues for turn in one.turns]))
    questions = [query.text for one in dialogues for query in one.queries][:QUESTIONS]
    print(HEADER)
    for size in sizes:
        async with temporary_postgres("1GB") as dsn, running_engine(dsn, embedder) as engine:
            database = Database(engine.pool, acquire_timeout_seconds=60)
            saves = SavesStore(database)
            loading = Loading(
                saves, UpkeepStore(database), engine.recollection, SystemClock(), exact_memories=EXACT_MEMORIES
            )
            bench = Bench(dsn, engine, saves, loading, material, questions, embedder.name)
            print(await _line(bench, size), flush=True)
    await embedder.close()


async def _line(bench: Bench, size: int) -> str:
    nothing = await bench.save()
    await bench.talk()
    await bench.add(size, "first", 1)
    await keep_up(bench.engine, bench.model, bench.material.dimension)
    before, _ = await bench.recall()
    times = []
    for _ in range(SAVES):
        started = time.perf_counter()
        early = await bench.save()
        times.append((time.perf_counter() - started) * 1000)
    await bench.add(LATER, "later", 2)
    late = await bench.save()
    some_go, some_back = await bench.load(early), await bench.load(late)
    then, _ = await bench.recall()
    all_go = await bench.load(nothing)
    await bench.add(FEW, "few", 3)
    few, found = await bench.recall()
    all_back = await bench.load(late)
    return (
        f"| {size:,} | {statistics.median(times):.1f} / {max(times):.1f} | {before:.1f} | {some_go:.2f}"
        f" | {some_back:.2f} | {then:.1f} | {all_go:.1f} | {few:.1f}, {found:.1f} | {all_back:.1f} |"
    )


def _world() -> SaveWorld:
    return SaveWorld(save_id=uuid.uuid4().hex, player_id=PLAYER, session_id="bench", principal="local")
