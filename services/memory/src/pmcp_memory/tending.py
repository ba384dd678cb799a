"""Decay and pruning: by themselves (called by `upkeep`, under its lease) and because a client asks.

Between the API and `tending_store`; what fades and what goes is decided by `decay` and `pruning`. By itself, pruning
begins near the bound an operator sets; asked for, at the size existing clients know (1000 memories of one player with
one persona: from 900 down to 800). Both obey the same safety rules.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pmcp_common.clock import Clock
from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.memory_tending import (
    CycleDone,
    DecayConfig,
    DecayCycle,
    DecayFigures,
    DecaySwitch,
    Faded,
    FadeRequest,
    PersonaPruned,
    Pruned,
    PrunedAll,
    PruneFigures,
    PruneOutlook,
    PruneRequest,
)
from pmcp_memory.decay import LONG_DAYS, DecayMode, decayed
from pmcp_memory.pruning import PAUSE, Bounds, Prunable, choose
from pmcp_memory.tending_store import Deleted, Owner, Store, TendingStore

log = logging.getLogger(__name__)

_ROWS_A_BATCH = 1_000
_LEAST_CHANGE = 0.001
"""Of an importance, to be worth a write."""


@dataclass(frozen=True, slots=True)
class Rules:
    decay_mode: DecayMode
    max_memories: int = 100_000
    """Of one player with one persona, by itself."""
    max_when_asked: int = 1_000
    decay_every: timedelta = timedelta(hours=6)
    auto_pruning: bool = True


async def _no_pause() -> None:
    return None


class Tending:
    def __init__(self, store: TendingStore, clock: Clock, rules: Rules) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules
        self._by_itself = Bounds.of(rules.max_memories)
        self._when_asked = Bounds.of(rules.max_when_asked)

    async def decay_due(self, renew: Callable[[], Awaitable[None]]) -> None:
        """A cycle of every tenant whose time has come. `renew` between batches: raises when another replica works."""
        if self._rules.decay_mode is DecayMode.NONE:
            return
        for tenant in await self._store.due_tenants(self._clock.now() - self._rules.decay_every):
            await self._cycle(tenant, renew)

    async def prune_due(self, renew: Callable[[], Awaitable[None]]) -> None:
        """Whoever holds too many memories, of all tenants."""
        if not self._rules.auto_pruning:
            return
        by_tenant: dict[str, list[Owner]] = {}
        for owner in await self._store.crowded_anywhere(self._by_itself.start):
            by_tenant.setdefault(owner.tenant, []).append(owner)
        for tenant, owners in by_tenant.items():
            await self._auto_prune(tenant, owners, renew)

    async def _auto_prune(self, tenant: str, owners: Sequence[Owner], renew: Callable[[], Awaitable[None]]) -> int:
        """How many owners lost something."""
        pruned = 0
        for owner in owners:
            done = await self._prune(owner, self._by_itself, force=False)
            pruned += done.memories_pruned > 0
            log.info("pruned", extra={"memories": done.memories_pruned, "of": done.memories_before})
            await renew()
        await self._store.note_auto_prunes(tenant, pruned)
        return pruned

    async def _cycle(self, tenant: str, renew: Callable[[], Awaitable[None]]) -> DecayCycle:
        now, started = self._clock.now(), self._clock.monotonic()
        after, personas, drops = "", set[str](), list[float]()
        while rows := await self._store.aging(tenant, after, _ROWS_A_BATCH):
            computed = [
                (memory, decayed(memory.aging, self._rules.decay_mode, memory.world_now or now)) for memory in rows
            ]
            changed = [(memory, new) for memory, new in computed if abs(new - memory.importance) >= _LEAST_CHANGE]
            written = await self._store.set_importances(tenant, changed) if changed else frozenset()
            drops += [m.importance - new for m, new in changed if m.id in written and new < m.importance]
            personas |= {memory.persona_id for memory in rows}
            after = rows[-1].id
            await renew()
        cycle = DecayCycle(
            at=now,
            personas_processed=len(personas),
            memories_decayed=len(drops),
            average_decay=round(sum(drops) / len(drops), 6) if drops else 0.0,
            seconds=round(self._clock.monotonic() - started, 6),
        )
        await self._store.note_cycle(tenant, cycle)
        return cycle

    async def force_cycle(self, tenant: str) -> CycleDone:
        """Now, whatever the switch says."""
        cycle = await self._cycle(tenant, _no_pause)
        auto_prunes = 0
        if self._rules.auto_pruning:
            owners = await self._store.owners(tenant)
            crowded = [owner for owner, memories in owners.items() if self._by_itself.excess(memories)]
            auto_prunes = await self._auto_prune(tenant, crowded, _no_pause)
        return CycleDone(cycle=cycle, auto_prunes=auto_prunes)

    async def fade(self, tenant: str, request: FadeRequest) -> Faded:
        owner = Owner(tenant, request.persona_id, request.player_id)
        return await self._store.fade(owner, request.factor, self._clock.now())

    async def switch(self, tenant: str, wanted: DecaySwitch) -> DecayFigures:
        await self._store.switch(tenant, running=wanted.running)
        return await self.decay_figures(tenant)

    async def decay_figures(self, tenant: str) -> DecayFigures:
        row = await self._store.tending(tenant)
        recent = row.cycle_at and DecayCycle(
            at=row.cycle_at,
            personas_processed=row.cycle_personas,
            memories_decayed=row.cycle_decayed,
            average_decay=row.cycle_average,
            seconds=row.cycle_seconds,
        )
        return DecayFigures(
            running=row.running,
            cycles=row.decay_cycles,
            memories_decayed=row.memories_decayed,
            auto_prunes=row.auto_prunes,
            recent=recent or None,
            config=self._config(),
        )

    def _config(self) -> DecayConfig:
        return DecayConfig(
            mode=self._rules.decay_mode.value,
            interval_hours=self._rules.decay_every / timedelta(hours=1),
            max_decay_days=LONG_DAYS,
            auto_pruning=self._rules.auto_pruning,
            auto_prune_threshold=self._by_itself.start,
        )

    async def prune(self, tenant: str, request: PruneRequest) -> Pruned:
        owner = Owner(tenant, request.persona_id, request.player_id)
        return await self._prune(owner, self._when_asked, force=request.force)

    async def prune_all(self, tenant: str, *, dry_run: bool = False) -> PrunedAll:
        """Every owner's; one whose memories cannot be pruned does not keep the others' from it. `dry_run`: nothing is
        changed, the numbers say what would be."""
        started = self._clock.monotonic()
        owners = await self._store.owners(tenant)
        pruned = errors = 0
        for owner in [owner for owner, memories in owners.items() if self._when_asked.excess(memories)]:
            try:
                pruned += await (self._would_prune(owner) if dry_run else self._prune_asked(owner))
            except DomainError as error:
                log.warning("one owner's memories were not pruned", extra={"code": error.code})
                errors += 1
        if not dry_run:
            await self._store.note_global_prune(tenant, self._clock.now())
        return PrunedAll(
            personas_processed=len({owner.persona_id for owner in owners}),
            memories_before=sum(owners.values()),
            memories_after=max(sum(owners.values()) - pruned, 0),
            memories_pruned=pruned,
            errors_encountered=errors,
            seconds=round(self._clock.monotonic() - started, 6),
        )

    async def _prune_asked(self, owner: Owner) -> int:
        return (await self._prune(owner, self._when_asked, force=False)).memories_pruned

    async def _would_prune(self, owner: Owner) -> int:
        bounds, now = self._when_asked, self._clock.now()
        store = await self._store.look(owner, bounds.start)
        return 0 if _refusal(store, bounds, now, force=False) else len(choose(store.memories, bounds, now))

    async def outlook(self, tenant: str, persona_id: str, player_id: str | None) -> PruneOutlook:
        bounds = self._when_asked
        store = await self._store.look(Owner(tenant, persona_id, player_id), bounds.start)
        chosen = set(choose(store.memories, bounds, self._clock.now()))
        importances = [memory.importance for memory in store.memories if memory.id in chosen]
        return PruneOutlook(
            needs_pruning=bounds.excess(store.count) > 0,
            current_count=store.count,
            target_count=bounds.target,
            would_prune=len(importances),
            average_importance=_average(importances),
            least_importance=min(importances, default=None),
            greatest_importance=max(importances, default=None),
        )

    async def prune_figures(self, tenant: str) -> PruneFigures:
        rows, row = await self._store.prunings(tenant), await self._store.tending(tenant)
        operations = sum(one.operations for one in rows)
        return PruneFigures(
            operations=operations,
            memories_pruned=sum(one.memories_pruned for one in rows),
            average_seconds=round(sum(one.seconds for one in rows) / operations, 6) if operations else 0.0,
            last_global_prune=row.last_global_prune,
            personas=tuple(PersonaPruned(persona_id=one.persona_id, pruned_at=one.pruned_at) for one in rows),
        )

    async def _prune(self, owner: Owner, bounds: Bounds, *, force: bool) -> Pruned:
        now, started = self._clock.now(), self._clock.monotonic()
        refusal, seen = "", 0

        def chosen(store: Store) -> Sequence[str] | None:
            nonlocal refusal, seen
            seen, refusal = store.count, _refusal(store, bounds, now, force=force)
            return None if refusal else choose(store.memories, bounds, now, force=force)

        def seconds() -> float:
            return round(self._clock.monotonic() - started, 6)

        deleted = await self._store.prune(owner, bounds.target, chosen, seconds, now)
        if deleted is None:
            return _untouched(refusal, seen, seconds())
        return _report(deleted, seconds())


def _refusal(store: Store, bounds: Bounds, now: datetime, *, force: bool) -> str:
    """Why nothing is pruned; empty: something is, if not all are safe."""
    if not bounds.excess(store.count, force=force):
        until = f"pruning stops at {bounds.target}" if force else f"pruning begins at {bounds.start}"
        return f"{store.count} memories: {until}"
    if not force and store.pruned_at is not None and now - store.pruned_at < PAUSE:
        return "Pruned less than an hour ago"
    return ""


def _untouched(reason: str, memories: int, seconds: float) -> Pruned:
    return Pruned(
        done=False,
        reason=reason,
        memories_before=memories,
        memories_after=memories,
        memories_pruned=0,
        average_importance_pruned=None,
        average_importance_kept=None,
        seconds=seconds,
    )


def _report(deleted: Deleted, seconds: float) -> Pruned:
    def average(wanted: Callable[[Prunable], bool]) -> float | None:
        return _average([memory.importance for memory in deleted.store.memories if wanted(memory)])

    return Pruned(
        done=True,
        reason="",
        memories_before=deleted.store.count,
        memories_after=deleted.store.count - len(deleted.ids),
        memories_pruned=len(deleted.ids),
        average_importance_pruned=average(lambda memory: memory.id in deleted.ids),
        average_importance_kept=average(lambda memory: memory.id not in deleted.ids),
        seconds=seconds,
    )


def _average(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
