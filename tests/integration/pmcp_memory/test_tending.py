"""Decay and pruning that a client asks for: through the API, on a real database, with figures that are true for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources.abc import Traversable
from typing import Any

import asyncpg
import pytest

from pmcp_common.contracts.errors import DomainError, MemoryFailed
from pmcp_common.contracts.memory_tending import DecaySwitch, FadeRequest, PruneRequest
from pmcp_common.postgres import connect_pool
from pmcp_memory.database import Database
from pmcp_memory.decay import DecayMode
from pmcp_memory.pruning import Bounds
from pmcp_memory.store import MIGRATIONS, MemoryStore, NewMemory
from pmcp_memory.tending import Rules, Tending
from pmcp_memory.tending_store import TendingStore
from tests.integration.pmcp_memory.conftest import Service, WordEmbedder

NOW = datetime(2026, 6, 1, tzinfo=UTC)
T = "local"


class SetClock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


async def renew() -> None:
    return None


@dataclass
class Ground:
    pool: asyncpg.Pool
    store: MemoryStore
    clock: SetClock

    def replica(self, **rules: Any) -> Tending:
        """Each a process of its own, as far as the database can tell."""
        database = Database(self.pool, acquire_timeout_seconds=5)
        mode = rules.pop("mode", DecayMode.EXPONENTIAL)
        return Tending(TendingStore(database), self.clock, Rules(mode, **rules))

    async def remember(self, number: int, *, days: float = 100, **changes: Any) -> None:
        """So many memories that were recalled once, two months ago."""
        fields: dict[str, Any] = {"persona": "aria", "player": "p1", "importance": 0.2, "tenant": T} | changes
        at = NOW - timedelta(days=days)
        (vector,) = await WordEmbedder().embed(["x"])
        prefix = "-".join(map(str, fields.values()))
        new = [
            NewMemory(
                f"{prefix}-{n:05}",
                fields["persona"],
                fields["player"],
                f"m{n}",
                "fact",
                fields["importance"],
                0.0,
                vector,
                at,
            )
            for n in range(number)
        ]
        await self.store.add_memories(fields["tenant"], "words", new, at)
        await self.pool.execute("UPDATE memory.memories SET accessed_count = 1 WHERE accessed_count = 0")

    async def count(self, player: str = "p1") -> int:
        found: int = await self.pool.fetchval("SELECT count(*) FROM memory.memories WHERE player_id = $1", player)
        return found


def asked(**changes: Any) -> PruneRequest:
    return PruneRequest(**{"persona_id": "aria", "player_id": "p1", **changes})


@pytest.fixture
async def ground(make_database: Callable[[Mapping[str, Traversable]], Awaitable[str]]) -> AsyncIterator[Ground]:
    pool = await connect_pool(
        await make_database({"memory": MIGRATIONS}), application_name="test", vectors=True, max_size=8
    )
    yield Ground(pool, MemoryStore(Database(pool, acquire_timeout_seconds=5)), SetClock())
    await pool.close()


async def test_nothing_is_pruned_below_900_and_the_reason_says_so(ground: Ground) -> None:
    await ground.remember(899)
    done = await ground.replica().prune(T, asked())
    assert (done.done, done.reason, done.memories_before) == (False, "899 memories: pruning begins at 900", 899)
    assert (await ground.replica().prune_figures(T)).operations == 0


async def test_900_memories_become_800_with_true_averages(ground: Ground) -> None:
    await ground.remember(500, importance=0.2)
    await ground.remember(400, importance=0.4)
    done = await ground.replica().prune(T, asked())
    assert (done.memories_before, done.memories_after, done.memories_pruned) == (900, 800, 100)
    assert (done.average_importance_pruned, done.average_importance_kept) == (0.2, 0.3)
    assert await ground.count() == 800


async def test_a_limit_that_is_no_multiple_of_ten_has_one_beginning(ground: Ground) -> None:
    await ground.remember(13)
    tending = ground.replica(max_when_asked=15)
    outlook = await tending.outlook(T, "aria", "p1")
    assert (outlook.needs_pruning, outlook.target_count, outlook.would_prune) == (True, 12, 1)
    assert (await tending.prune_all(T, dry_run=True)).memories_pruned == 1
    assert (await tending.prune(T, asked())).memories_after == 12
    assert (await tending.prune(T, asked())).reason == "12 memories: pruning begins at 13"


async def test_within_an_hour_only_force_prunes_again_and_never_below_the_target(ground: Ground) -> None:
    await ground.remember(900)
    assert (await ground.replica().prune(T, asked())).memories_pruned == 100
    await ground.remember(150, importance=0.3)
    ground.clock.time += timedelta(minutes=59)
    again = await ground.replica().prune(T, asked())
    assert (again.done, again.reason) == (False, "Pruned less than an hour ago")
    assert (await ground.replica().prune(T, asked(force=True))).memories_after == 800
    assert (await ground.replica().prune(T, asked(force=True))).reason == "800 memories: pruning stops at 800"
    await ground.remember(150, importance=0.4)
    ground.clock.time += timedelta(hours=1)
    assert (await ground.replica().prune(T, asked())).memories_pruned == 150


async def test_force_knows_the_safety_rules_too(ground: Ground) -> None:
    await ground.remember(850, importance=0.7)
    done = await ground.replica().prune(T, asked(force=True))
    assert (done.done, done.memories_pruned, done.average_importance_pruned) == (True, 0, None)


async def test_only_ones_own_memories_are_pruned(ground: Ground) -> None:
    await ground.remember(950)
    await ground.remember(950, player="p2")
    await ground.remember(950, player=None)
    await ground.replica().prune(T, asked())
    assert (await ground.count(), await ground.count("p2")) == (800, 950)
    assert (await ground.replica().prune(T, asked(player_id=None))).memories_pruned == 150


async def test_two_at_once_prune_once_and_the_figures_add_up(ground: Ground) -> None:
    await ground.remember(1_000)
    done = await asyncio.gather(*(ground.replica().prune(T, asked()) for _ in range(4)))
    assert sorted(one.memories_pruned for one in done) == [0, 0, 0, 200]
    figures = await ground.replica().prune_figures(T)
    assert (figures.operations, figures.memories_pruned) == (1, 200)


async def test_the_outlook_says_what_pruning_then_does(ground: Ground) -> None:
    await ground.remember(60, importance=0.15)
    await ground.remember(860, importance=0.3)
    outlook = await ground.replica().outlook(T, "aria", "p1")
    assert (outlook.needs_pruning, outlook.current_count, outlook.target_count) == (True, 920, 800)
    done = await ground.replica().prune(T, asked())
    assert outlook.would_prune == done.memories_pruned == 120
    assert outlook.average_importance == done.average_importance_pruned == 0.225
    assert (outlook.least_importance, outlook.greatest_importance) == (0.15, 0.3)
    after = await ground.replica().outlook(T, "aria", "p1")
    assert (after.needs_pruning, after.would_prune, after.average_importance) == (False, 0, None)


async def test_all_of_a_tenant_are_pruned_and_no_other_tenants(ground: Ground) -> None:
    await ground.remember(900)
    await ground.remember(1_000, player="p2", persona="kira")
    await ground.remember(10, player="p3")
    await ground.remember(900, tenant="other")
    done = await ground.replica().prune_all(T)
    assert (done.personas_processed, done.errors_encountered) == (2, 0)
    assert (done.memories_before, done.memories_after, done.memories_pruned) == (1_910, 1_610, 300)
    assert await ground.pool.fetchval("SELECT count(*) FROM memory.memories WHERE tenant_id = 'other'") == 900
    figures = await ground.replica().prune_figures(T)
    assert (figures.operations, figures.memories_pruned, figures.last_global_prune) == (2, 300, NOW)
    assert [(one.persona_id, one.pruned_at) for one in figures.personas] == [("aria", NOW), ("kira", NOW)]
    assert (await ground.replica().prune_figures("other")).last_global_prune is None


async def test_an_owner_that_cannot_be_pruned_is_counted_and_the_others_are(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ground.remember(900)
    await ground.remember(900, player="p2")
    tending = ground.replica()
    prune = tending._prune

    async def fails_once(owner: Any, bounds: Bounds, *, force: bool) -> Any:
        if owner.player_id == "p1":
            raise MemoryFailed("no")
        return await prune(owner, bounds, force=force)

    monkeypatch.setattr(tending, "_prune", fails_once)
    done = await tending.prune_all(T)
    assert (done.errors_encountered, done.memories_pruned) == (1, 100)


async def test_a_cycle_is_counted_for_all_replicas_and_after_a_restart(ground: Ground) -> None:
    await ground.remember(3, days=30, importance=0.4)
    await ground.remember(2, days=30, importance=0.9, player="p2", persona="kira")
    assert (await ground.replica().decay_figures(T)).recent is None
    await ground.replica().decay_due(renew)
    await ground.replica().decay_due(renew)
    figures = await ground.replica().decay_figures(T)
    assert (figures.running, figures.cycles, figures.memories_decayed, figures.auto_prunes) == (True, 1, 3, 0)
    assert figures.recent is not None
    assert (figures.recent.at, figures.recent.personas_processed, figures.recent.memories_decayed) == (NOW, 2, 3)
    assert figures.recent.average_decay == pytest.approx(0.2, abs=1e-3)
    assert (figures.config.mode, figures.config.interval_hours, figures.config.max_decay_days) == ("exponential", 6, 90)
    assert (figures.config.auto_pruning, figures.config.auto_prune_threshold) == (True, 90_000)


async def test_a_tenant_that_was_stopped_is_left_alone_until_it_is_started_again(ground: Ground) -> None:
    await ground.remember(1, days=30)
    await ground.remember(95, days=100, player="p2")
    for _ in range(2):
        assert not (await ground.replica().switch(T, DecaySwitch(running=False))).running
    other = ground.replica(max_memories=100)
    await other.decay_due(renew)
    await other.prune_due(renew)
    assert (await other.decay_figures(T)).cycles == 0
    assert await ground.count("p2") == 95
    for _ in range(2):
        assert (await ground.replica().switch(T, DecaySwitch(running=True))).running
    await other.decay_due(renew)
    await other.prune_due(renew)
    figures = await ground.replica().decay_figures(T)
    assert (figures.cycles, figures.auto_prunes) == (1, 1)
    assert await ground.count("p2") == 80


async def test_without_decay_or_pruning_nothing_happens_by_itself(ground: Ground) -> None:
    await ground.remember(100, days=100)
    replica = ground.replica(mode=DecayMode.NONE, max_memories=50, auto_pruning=False)
    await replica.decay_due(renew)
    await replica.prune_due(renew)
    figures = await replica.decay_figures(T)
    assert (figures.cycles, figures.config.mode, figures.config.auto_pruning) == (0, "none", False)
    assert await ground.count() == 100


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("none", 0.5), ("linear", 0.35), ("exponential", 0.25), ("logarithmic", 0.119), ("access_based", 0.35)],
)
async def test_a_forced_cycle_decays_by_the_mode_that_is_set(ground: Ground, mode: str, expected: float) -> None:
    await ground.remember(1, days=30, importance=0.5)
    done = await ground.replica(mode=DecayMode(mode)).force_cycle(T)
    assert await ground.pool.fetchval("SELECT importance FROM memory.memories") == pytest.approx(expected, abs=1e-3)
    assert done.cycle.memories_decayed == (mode != "none")


async def test_a_forced_cycle_prunes_what_is_too_many(ground: Ground) -> None:
    await ground.remember(100, days=100)
    done = await ground.replica(max_memories=100).force_cycle(T)
    assert (done.auto_prunes, await ground.count()) == (1, 80)
    assert (await ground.replica().decay_figures(T)).auto_prunes == 1


async def test_a_forced_fading_stays_and_spares_what_lasts(ground: Ground) -> None:
    await ground.remember(1, importance=0.5, days=1)
    await ground.remember(1, importance=0.81)
    await ground.remember(1, importance=0.105, days=1)
    await ground.remember(1, importance=0.6)
    await ground.remember(1, importance=0.5, player="p2")
    await ground.pool.execute(
        "UPDATE memory.memories SET last_accessed = $1 WHERE importance > 0.55 AND importance < 0.7", NOW
    )
    request = FadeRequest(persona_id="aria", player_id="p1", factor=0.1)
    faded = await ground.replica().fade(T, request)
    assert (faded.memories_processed, faded.memories_decayed) == (4, 2)
    await ground.replica(mode=DecayMode.LINEAR).decay_due(renew)
    rows = await ground.pool.fetch("SELECT importance FROM memory.memories WHERE player_id = 'p1' ORDER BY importance")
    assert [row["importance"] for row in rows] == pytest.approx([0.1, 0.4455, 0.6, 0.81], abs=1e-3)
    assert (await ground.replica().fade(T, request.model_copy(update={"factor": 0.0}))).memories_decayed == 0


async def test_an_importance_that_was_edited_meanwhile_is_not_overwritten(ground: Ground) -> None:
    await ground.remember(1, days=30)
    store = TendingStore(Database(ground.pool, acquire_timeout_seconds=5))
    (read,) = await store.aging(T, "", 10)
    await ground.pool.execute("UPDATE memory.memories SET importance = 0.9, initial_importance = 0.9")
    assert await store.set_importances(T, [(read, 0.1)]) == frozenset()


async def test_a_database_error_is_a_coded_one(ground: Ground) -> None:
    await ground.pool.execute("DROP TABLE memory.prunings")
    await ground.remember(900)
    for failing in (ground.replica().prune(T, asked()), ground.replica().prune_figures(T)):
        with pytest.raises(DomainError) as caught:
            await failing
        assert caught.value.code == -32002
    assert await ground.count() == 900


async def test_the_api_prunes_decays_and_switches(service: Service) -> None:
    who = {"persona_id": "aria", "player_id": "p1"}
    pruned = await service.http.post("/v1/local/prunings", json=who)
    assert pruned.json()["reason"] == "0 memories: pruning begins at 900"
    assert (await service.http.post("/v1/local/prunings/all")).json()["personas_processed"] == 0
    outlook = (await service.http.get("/v1/local/prunings/outlook", params=who)).json()
    assert (outlook["needs_pruning"], outlook["target_count"]) == (False, 800)
    assert (await service.http.get("/v1/local/prunings")).json()["operations"] == 0
    assert (await service.http.put("/v1/local/decay", json={"running": False})).json()["running"] is False
    assert (await service.http.get("/v1/local/decay")).json()["running"] is False
    assert (await service.http.post("/v1/local/decay/fadings", json=who)).json()["memories_processed"] == 0
    assert (await service.http.post("/v1/local/decay/cycles")).json()["cycle"]["memories_decayed"] == 0
    assert (await service.http.get("/v1/local/decay")).json()["cycles"] == 1


@pytest.mark.parametrize("factor", [-0.1, 1.1, "NaN", "Infinity"])
async def test_a_factor_out_of_range_is_refused(service: Service, factor: Any) -> None:
    body = {"persona_id": "aria", "player_id": "p1", "factor": factor}
    answer = await service.http.post("/v1/local/decay/fadings", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, -32602)
    assert answer.headers["content-type"] == "application/problem+json"
