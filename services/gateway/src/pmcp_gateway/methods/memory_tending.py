"""memory.prune* and memory.decay_*: what the memory service did, in the shapes existing clients read."""

from __future__ import annotations

from typing import Any

from pmcp_common.contracts.memory_tending import DecayFigures, DecaySwitch, FadeRequest, PruneFigures, PruneRequest
from pmcp_common.contracts.memory_tending_models import (
    DecayConfigItem,
    DecayStatistics,
    MemoryDecayForceParams,
    MemoryDecayForceResult,
    MemoryDecayStartResult,
    MemoryDecayStatsResult,
    MemoryDecayStopResult,
    MemoryPruneAllParams,
    MemoryPruneAllResult,
    MemoryPruneParams,
    MemoryPruneRecommendationsParams,
    MemoryPruneRecommendationsResult,
    MemoryPruneResult,
    MemoryPruneStatsResult,
    PruneRecommendations,
    PruningStatistics,
    RecentCycle,
)
from pmcp_common.contracts.method_models import NoParams
from pmcp_gateway.methods.call import Call, Services, chosen_persona
from pmcp_gateway.timestamps import timestamp

NEVER_PRUNED = "No pruning operations performed yet"
NEVER_DECAYED = "No decay cycles completed yet"


async def prune(services: Services, call: Call, params: MemoryPruneParams) -> dict[str, Any]:
    player = call.player(params.player_id)
    persona_id = await chosen_persona(services, call, params.persona_id, player)
    request = PruneRequest(persona_id=persona_id, player_id=player, force=params.force)
    done = await services.tending.prune(call.tenant, request)
    if not done.done:
        result = MemoryPruneResult(
            status="no_pruning_needed",
            persona_id=persona_id,
            current_memory_count=done.memories_before,
            message=done.reason,
        )
    else:
        result = MemoryPruneResult(
            status="pruning_completed",
            persona_id=persona_id,
            memories_before=done.memories_before,
            memories_after=done.memories_after,
            memories_pruned=done.memories_pruned,
            processing_time=done.seconds,
            average_importance_pruned=done.average_importance_pruned,
            average_importance_kept=done.average_importance_kept,
        )
    return result.model_dump(mode="json", exclude_unset=True)


async def prune_all(services: Services, call: Call, params: MemoryPruneAllParams) -> dict[str, Any]:
    done = await services.tending.prune_all(call.tenant, dry_run=params.dry_run)
    return MemoryPruneAllResult(
        status="global_pruning_previewed" if params.dry_run else "global_pruning_completed",
        personas_processed=done.personas_processed,
        total_memories_before=done.memories_before,
        total_memories_after=done.memories_after,
        total_memories_pruned=done.memories_pruned,
        processing_time=done.seconds,
        errors_encountered=done.errors_encountered,
    ).model_dump(mode="json")


async def prune_recommendations(
    services: Services, call: Call, params: MemoryPruneRecommendationsParams
) -> dict[str, Any]:
    player = call.player(params.player_id)
    persona_id = await chosen_persona(services, call, params.persona_id, player)
    seen = await services.tending.prune_outlook(call.tenant, persona_id, player)
    numbers = {"current_count": seen.current_count, "target_count": seen.target_count}
    if not seen.needs_pruning:
        advice = PruneRecommendations(needs_pruning=False, recommendation="No pruning needed", **numbers)
    else:
        lowest, highest = seen.least_importance, seen.greatest_importance
        advice = PruneRecommendations(
            needs_pruning=True,
            **numbers,
            recommendation=f"Prune {seen.would_prune} memories" if seen.would_prune else "All memories are safe",
            would_prune=seen.would_prune,
            average_importance_to_prune=seen.average_importance,
            importance_range_to_prune=None if lowest is None or highest is None else [lowest, highest],
        )
    return MemoryPruneRecommendationsResult(persona_id=persona_id, recommendations=advice).model_dump(
        mode="json", exclude_unset=True
    )


async def prune_stats(services: Services, call: Call, _params: NoParams) -> dict[str, Any]:
    figures = await services.tending.prune_figures(call.tenant)
    never = figures.operations == 0 and figures.last_global_prune is None
    statistics = PruningStatistics(message=NEVER_PRUNED) if never else _pruning(figures)
    return MemoryPruneStatsResult(pruning_statistics=statistics).model_dump(mode="json", exclude_unset=True)


def _pruning(figures: PruneFigures) -> PruningStatistics:
    return PruningStatistics(
        total_pruning_operations=figures.operations,
        total_memories_pruned=figures.memories_pruned,
        total_personas_processed=len(figures.personas),
        average_processing_time=figures.average_seconds,
        last_global_prune=timestamp(figures.last_global_prune) if figures.last_global_prune else None,
        personas_last_pruned={one.persona_id: timestamp(one.pruned_at) for one in figures.personas},
    )


async def decay_start(services: Services, call: Call, _params: NoParams) -> dict[str, Any]:
    config = (await services.tending.switch_decay(call.tenant, DecaySwitch(running=True))).config
    return MemoryDecayStartResult(
        status="background_decay_started",
        interval_hours=config.interval_hours,
        mode=config.mode,
        auto_pruning=config.auto_pruning,
    ).model_dump(mode="json")


async def decay_stop(services: Services, call: Call, _params: NoParams) -> dict[str, Any]:
    await services.tending.switch_decay(call.tenant, DecaySwitch(running=False))
    return MemoryDecayStopResult(status="background_decay_stopped").model_dump(mode="json")


async def decay_stats(services: Services, call: Call, _params: NoParams) -> dict[str, Any]:
    figures = await services.tending.decay_figures(call.tenant)
    return MemoryDecayStatsResult(decay_statistics=_decay(figures)).model_dump(mode="json", exclude_unset=True)


def _decay(figures: DecayFigures) -> DecayStatistics:
    config = DecayConfigItem(**figures.config.model_dump())
    if figures.recent is None:
        return DecayStatistics(message=NEVER_DECAYED, background_running=figures.running, config=config)
    return DecayStatistics(
        background_running=figures.running,
        last_run=timestamp(figures.recent.at),
        total_decay_cycles=figures.cycles,
        total_memories_decayed=figures.memories_decayed,
        total_auto_prunes_triggered=figures.auto_prunes,
        recent_cycle=RecentCycle(
            personas_processed=figures.recent.personas_processed,
            memories_decayed=figures.recent.memories_decayed,
            average_decay=figures.recent.average_decay,
            processing_time=figures.recent.seconds,
        ),
        config=config,
    )


async def decay_force(services: Services, call: Call, params: MemoryDecayForceParams) -> dict[str, Any]:
    """A whole cycle when no persona is named and none is active."""
    reference = params.persona_id
    if reference is None:
        session = await services.sessions.get(call.tenant, call.session_id)
        reference = None if session is None else session.persona_id
    if reference is None:
        return await _cycle(services, call)
    player = call.player(params.player_id)
    persona_id = await chosen_persona(services, call, reference, player)
    request = FadeRequest(persona_id=persona_id, player_id=player, factor=params.decay_factor)
    faded = await services.tending.fade(call.tenant, request)
    return MemoryDecayForceResult(
        status="persona_decay_completed",
        persona_id=persona_id,
        decay_factor=params.decay_factor,
        memories_processed=faded.memories_processed,
        memories_decayed=faded.memories_decayed,
    ).model_dump(mode="json", exclude_unset=True)


async def _cycle(services: Services, call: Call) -> dict[str, Any]:
    done = await services.tending.force_cycle(call.tenant)
    return MemoryDecayForceResult(
        status="global_decay_cycle_completed",
        personas_processed=done.cycle.personas_processed,
        memories_decayed=done.cycle.memories_decayed,
        auto_prunes_triggered=done.auto_prunes,
        processing_time=done.cycle.seconds,
    ).model_dump(mode="json", exclude_unset=True)
