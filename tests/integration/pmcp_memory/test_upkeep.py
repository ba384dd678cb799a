"""Background work on a real database: done once by many, done again without harm, and nobody's memory lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources.abc import Traversable
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from pmcp_common.postgres import connect_pool
from pmcp_memory import app
from pmcp_memory.database import Database
from pmcp_memory.decay import DecayMode
from pmcp_memory.embedding import Urgency, Vector
from pmcp_memory.model_store import ModelStore
from pmcp_memory.settings import MemorySettings
from pmcp_memory.store import MIGRATIONS, MemoryStore, NewMemory
from pmcp_memory.tending import Rules, Tending
from pmcp_memory.tending_store import TendingStore
from pmcp_memory.upkeep import LeaseLost, Upkeep
from pmcp_memory.upkeep_store import UpkeepStore
from tests.integration.pmcp_memory.conftest import DIMENSION, WordEmbedder

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class SetClock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


@dataclass
class House:
    pool: asyncpg.Pool
    store: MemoryStore
    upkeep_store: UpkeepStore
    models: ModelStore
    tending_store: TendingStore
    embedder: WordEmbedder
    clock: SetClock

    def upkeep(
        self,
        holder: str = "one",
        mode: DecayMode = DecayMode.EXPONENTIAL,
        limit: int = 100_000,
        exact: int = 20_000,
    ) -> Upkeep:
        rules = Rules(mode, max_memories=limit)
        tending = Tending(self.tending_store, self.clock, rules)
        return Upkeep(self.upkeep_store, self.models, tending, self.embedder, self.clock, holder, exact_memories=exact)

    async def remember(
        self, *contents: str, days: float = 0, importance: float = 0.5, player: str = "p1", model: str | None = None
    ) -> None:
        at = self.clock.now() - timedelta(days=days)
        vectors = await self.embedder.embed(contents)
        memories = [
            NewMemory(f"{player}-{content}", "aria", player, content, "fact", importance, 0.0, vector, at)
            for content, vector in zip(contents, vectors, strict=True)
        ]
        await self.store.add_memories("local", model or self.embedder.name, memories, at)

    async def importances(self) -> dict[str, Any]:
        rows = await self.pool.fetch("SELECT content, importance FROM memory.memories")
        return {row["content"]: pytest.approx(row["importance"], abs=1e-3) for row in rows}


@pytest.fixture
async def house(make_database: Callable[[Mapping[str, Traversable]], Awaitable[str]]) -> AsyncIterator[House]:
    dsn = await make_database({"memory": MIGRATIONS})
    pool = await connect_pool(dsn, application_name="test", vectors=True)
    database = Database(pool, acquire_timeout_seconds=5)
    models = ModelStore(database)
    await models.dimension_of("words", DIMENSION)
    yield House(
        pool,
        MemoryStore(database),
        UpkeepStore(database),
        models,
        TendingStore(database),
        WordEmbedder(),
        SetClock(),
    )
    await pool.close()


async def test_a_change_of_model_embeds_every_memory_anew(house: House) -> None:
    await house.remember(*(f"fact {number}" for number in range(150)), model="older")
    await house.upkeep().run_once()
    models = await house.pool.fetch("SELECT DISTINCT embedding_model FROM memory.memories")
    assert [row["embedding_model"] for row in models] == ["words"]


async def test_decay_is_the_same_however_often_it_runs(house: House) -> None:
    await house.remember("old", days=30)
    await house.remember("older", days=300)
    await house.remember("great", days=300, importance=0.9)
    await house.remember("young")
    for _ in range(3):
        await house.pool.execute("UPDATE memory.tending SET cycle_at = 'epoch'")
        await house.upkeep().run_once()
        assert await house.importances() == {"old": 0.25, "older": 0.1, "great": 0.9, "young": 0.5}


async def test_a_recalled_memory_is_fresh_again(house: House) -> None:
    await house.remember("old", days=30)
    await house.upkeep().run_once()
    await house.store.count_accesses("local", {"p1-old": 1}, house.clock.now())
    house.clock.time += timedelta(hours=7)
    await house.upkeep().run_once()
    assert await house.importances() == {"old": 0.5}


async def test_in_a_world_with_a_clock_of_its_own_memories_age_by_it(house: House) -> None:
    await house.remember("long ago there", "lately there", "recalled lately there")
    await house.remember("old here", days=30)
    first, last = datetime(1203, 1, 1, tzinfo=UTC), datetime(1203, 1, 31, tzinfo=UTC)
    set_time = "UPDATE memory.memories SET world_time = $2 WHERE content = $1"
    for content, time in (("long ago there", first), ("lately there", last), ("recalled lately there", first)):
        await house.pool.execute(set_time, content, time)
    await house.store.count_accesses("local", {"p1-recalled lately there": 1}, house.clock.now())
    house.clock.time += timedelta(days=10)
    await house.upkeep().run_once()
    assert await house.importances() == {
        "long ago there": 0.25,
        "lately there": 0.5,
        "recalled lately there": 0.5,
        "old here": 0.1984,
    }


async def test_no_decay_leaves_all_as_it_is(house: House) -> None:
    await house.remember("old", days=300)
    await house.upkeep(mode=DecayMode.NONE).run_once()
    assert await house.importances() == {"old": 0.5}


async def test_pruning_keeps_the_safe_and_is_content_with_them(house: House) -> None:
    await house.remember(*(f"dull {number}" for number in range(60)), days=100, importance=0.2)
    await house.remember(*(f"dear {number}" for number in range(60)), days=100, importance=0.9)
    await house.remember(*(f"other {number}" for number in range(40)), days=100, importance=0.2, player="p2")
    await house.upkeep(limit=100).run_once()
    rows = await house.pool.fetch(
        "SELECT split_part(content, ' ', 1) AS kind, count(*) FROM memory.memories GROUP BY 1"
    )
    assert dict(map(tuple, rows)) == {"dull": 20, "dear": 60, "other": 40}
    await house.remember(*(f"more {number}" for number in range(40)), days=100, importance=0.2)
    await house.upkeep(limit=100).run_once()
    assert await house.pool.fetchval("SELECT count(*) FROM memory.memories WHERE player_id = 'p1'") == 120


async def test_an_importance_of_exactly_the_bound_counts_as_high_and_is_never_pruned(house: House) -> None:
    await house.remember(*(f"dear {number}" for number in range(100)), days=0, importance=0.7)
    await house.pool.execute("UPDATE memory.memories SET created_at = $1, accessed_count = 1", NOW - timedelta(days=60))
    (stats,) = await house.store.stats("local", "aria", "p1", NOW)
    assert stats.important == 100
    await house.upkeep(mode=DecayMode.NONE, limit=100).run_once()
    assert await house.pool.fetchval("SELECT count(*) FROM memory.memories") == 100


async def test_only_an_importance_above_the_lasting_one_does_not_fade(house: House) -> None:
    await house.remember("at the bound", days=30, importance=0.8)
    await house.remember("above it", days=30, importance=0.81)
    await house.upkeep().run_once()
    assert await house.importances() == {"at the bound": 0.4, "above it": 0.81}


async def test_what_sounds_alike_stays_two_memories(house: House) -> None:
    alike = ("the sea is what I like most", "what I like most is the sea", "today I won", "yesterday I won")
    await house.remember(*alike)
    await house.upkeep().run_once()
    assert await house.pool.fetchval("SELECT count(*) FROM memory.memories") == len(alike)


async def test_a_step_that_fails_does_not_keep_the_next_ones_from_running(house: House) -> None:
    await house.remember("old", days=30, model="older")
    house.embedder.broken = True
    assert await house.upkeep().run_once()
    assert await house.importances() == {"old": 0.25}


async def test_a_database_error_ends_neither_the_round_nor_the_loop(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.remember("old", days=30)
    rounds = asyncio.Queue[None]()

    async def deadlock(*_: object) -> list[Any]:
        raise asyncpg.DeadlockDetectedError("deadlock detected")

    async def last_step(*_: object) -> list[Any]:
        rounds.put_nowait(None)
        return await deadlock()

    monkeypatch.setattr(house.upkeep_store, "foreign_vectors", deadlock)
    monkeypatch.setattr(house.upkeep_store, "idle_indexes", last_step)
    monkeypatch.setattr(house.upkeep_store, "drop_lease", deadlock)
    task = asyncio.create_task(house.upkeep().run_every(0))
    async with asyncio.timeout(5):
        await rounds.get()
        await rounds.get()
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await house.importances() == {"old": 0.25}


async def test_background_work_has_connections_and_a_statement_limit_of_its_own(
    make_database: Callable[[Mapping[str, Traversable]], Awaitable[str]],
) -> None:
    settings = MemorySettings(postgres_dsn=SecretStr(await make_database({"memory": MIGRATIONS})))
    limits = []
    for open_pool in (app._open_pool, app._open_upkeep_pool):
        pool = await open_pool(settings)
        limits.append(await pool.fetchval("SHOW statement_timeout"))
        await pool.close()
    assert limits == ["2s", "1min"]


async def test_of_many_replicas_one_works(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.remember(*(f"fact {number}" for number in range(100)), model="older")
    embedding, may_go_on = asyncio.Event(), asyncio.Event()
    embed = house.embedder.embed

    async def wait(texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        embedding.set()
        await may_go_on.wait()
        return await embed(texts, urgency)

    monkeypatch.setattr(house.embedder, "embed", wait)
    async with asyncio.timeout(5):
        one = asyncio.create_task(house.upkeep("replica 0").run_once())
        await embedding.wait()
        # The lease is held: nobody else begins, however often asked.
        assert not any(await asyncio.gather(*(house.upkeep(f"replica {n}").run_once() for n in range(1, 5))))
        may_go_on.set()
        assert await one
    # Each text was embedded once when stored and once anew.
    assert sorted(house.embedder.asked) == sorted([f"fact {number}" for number in range(100)] * 2)


async def test_a_lease_that_ran_out_is_taken_over_and_its_holder_stops(house: House) -> None:
    assert await house.upkeep_store.take_lease("dead", 60)
    assert not await house.upkeep("next").run_once()
    await house.pool.execute("UPDATE memory.upkeep SET held_until = now() - interval '1 second' WHERE name = 'upkeep'")
    assert await house.upkeep("next").run_once()
    assert await house.upkeep_store.take_lease("someone", 60)
    with pytest.raises(LeaseLost):
        await house.upkeep("next")._renew()


async def test_a_large_memory_gets_an_index_of_its_own_and_loses_it_when_small_again(house: House) -> None:
    await house.remember(*(f"fact {number}" for number in range(120)))
    await house.remember(*(f"other {number}" for number in range(20)), player="p'2")
    for _ in range(2):
        await house.upkeep(exact=100).run_once()
        (index,) = await house.pool.fetch("SELECT * FROM memory.near_indexes")
        assert index["player_id"] == "p1"
        assert await house.pool.fetchval("SELECT to_regclass('memory.' || $1)::text", index["index_name"])
    await house.pool.execute("DELETE FROM memory.memories WHERE player_id = 'p1' AND content <> 'fact 1'")
    await house.upkeep(exact=100).run_once()
    assert await house.pool.fetch("SELECT * FROM memory.near_indexes") == []
    assert await house.pool.fetchval("SELECT to_regclass('memory.' || $1)::text", index["index_name"]) is None


async def test_idle_indexes_are_of_one_player_or_of_everybody(house: House) -> None:
    for player in ("p1", "p2"):
        await house.remember(*(f"fact {number}" for number in range(120)), player=player)
    await house.upkeep(exact=100).run_once()
    await house.pool.execute("DELETE FROM memory.memories WHERE content >= 'fact 5'")
    everybody = await house.upkeep_store.idle_indexes(200)
    (own,) = await house.upkeep_store.idle_indexes(200, "local", "p1")
    assert len(everybody) == 2
    assert [own] == await house.upkeep_store.indexes_of("local", "p1")
    assert await house.upkeep_store.idle_indexes(200, "elsewhere", "p1") == []
    assert await house.upkeep_store.idle_indexes(20) == []


async def test_an_odd_player_id_is_quoted_in_its_index(house: House) -> None:
    await house.remember(*(f"fact {number}" for number in range(120)), player="p'; DROP TABLE memory.turns; --")
    await house.upkeep(exact=100).run_once()
    assert await house.pool.fetchval("SELECT count(*) FROM memory.near_indexes") == 1
    assert await house.pool.fetchval("SELECT to_regclass('memory.turns')::text")
