"""Parameters and results of memory.prune* and memory.decay_*: rows of `methods`, in shapes existing clients read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pmcp_common.contracts.memory_tending import DecayFactor
from pmcp_common.contracts.method_models import OfPlayer, Params, Result
from pmcp_common.contracts.personas import Identifier

_OF_PERSONA = "default: the active persona"


class MemoryPruneParams(OfPlayer):
    persona_id: Identifier | None = Field(default=None, description=_OF_PERSONA)
    force: bool = Field(default=False, description="also below 900 memories and within an hour of the last pruning")


class MemoryPruneResult(Result):
    """What was pruned; or, with `no_pruning_needed`, how many memories there are and why nothing was."""

    status: Literal["no_pruning_needed", "pruning_completed"]
    persona_id: str
    current_memory_count: int | None = None
    message: str | None = None
    memories_before: int | None = None
    memories_after: int | None = None
    memories_pruned: int | None = None
    processing_time: float | None = Field(default=None, description="seconds")
    average_importance_pruned: float | None = Field(default=None, description="null: all were safe, none was pruned")
    average_importance_kept: float | None = None


class MemoryPruneAllParams(Params):
    dry_run: bool = Field(default=False, description="only say what would be pruned")


class MemoryPruneAllResult(Result):
    status: Literal["global_pruning_completed", "global_pruning_previewed"]
    personas_processed: int
    total_memories_before: int
    total_memories_after: int
    total_memories_pruned: int
    processing_time: float = Field(description="seconds")
    errors_encountered: int = Field(description="players' memories that could not be pruned")


class MemoryPruneRecommendationsParams(OfPlayer):
    persona_id: Identifier | None = Field(default=None, description=_OF_PERSONA)


class PruneRecommendations(Result):
    needs_pruning: bool
    current_count: int
    target_count: int
    recommendation: str
    would_prune: int | None = Field(default=None, description="this and the next two only when it needs pruning")
    average_importance_to_prune: float | None = Field(default=None, description="null: all are safe")
    importance_range_to_prune: list[float] | None = Field(default=None, description="least and greatest")


class MemoryPruneRecommendationsResult(Result):
    persona_id: str
    recommendations: PruneRecommendations


class PruningStatistics(Result):
    """Before the first run: `message` only."""

    message: str | None = None
    total_pruning_operations: int | None = None
    total_memories_pruned: int | None = None
    total_personas_processed: int | None = None
    average_processing_time: float | None = Field(default=None, description="seconds")
    last_global_prune: str | None = None
    personas_last_pruned: dict[str, str] | None = Field(default=None, description="persona id → time")


class MemoryPruneStatsResult(Result):
    pruning_statistics: PruningStatistics


class MemoryDecayStartResult(Result):
    status: Literal["background_decay_started"]
    interval_hours: float
    mode: str = Field(description="none, linear, exponential, logarithmic or access_based")
    auto_pruning: bool


class MemoryDecayStopResult(Result):
    status: Literal["background_decay_stopped"]


class RecentCycle(Result):
    personas_processed: int
    memories_decayed: int
    average_decay: float = Field(description="of an importance, of those that decayed")
    processing_time: float = Field(description="seconds")


class DecayConfigItem(Result):
    mode: str
    interval_hours: float
    max_decay_days: float
    auto_pruning: bool
    auto_prune_threshold: int = Field(description="memories of one player with one persona")


class DecayStatistics(Result):
    """Before the first cycle: `message`, `background_running` and `config` only."""

    message: str | None = None
    background_running: bool
    last_run: str | None = None
    total_decay_cycles: int | None = None
    total_memories_decayed: int | None = None
    total_auto_prunes_triggered: int | None = None
    recent_cycle: RecentCycle | None = None
    config: DecayConfigItem


class MemoryDecayStatsResult(Result):
    decay_statistics: DecayStatistics


class MemoryDecayForceParams(OfPlayer):
    persona_id: Identifier | None = Field(
        default=None, description="default: the active persona; without one, a whole cycle runs"
    )
    decay_factor: DecayFactor = Field(default=0.1, description="share of the importance that goes; a cycle has its own")


class MemoryDecayForceResult(Result):
    """Of one player's memories with a persona; or of a whole cycle."""

    status: Literal["persona_decay_completed", "global_decay_cycle_completed"]
    persona_id: str | None = None
    decay_factor: float | None = None
    memories_processed: int | None = None
    memories_decayed: int
    personas_processed: int | None = None
    auto_prunes_triggered: int | None = None
    processing_time: float | None = Field(default=None, description="seconds")
