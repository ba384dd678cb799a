"""Decay and pruning as services exchange them: what was done, what would be done, and what is done by itself.

Pruning and a forced fading are of one player's memories with one persona (no player: what the persona knows by
itself). Cycles, figures and the switch are the tenant's. Figures are kept in the database: true for all replicas.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field

from pmcp_common.contracts.memories import Importance
from pmcp_common.contracts.personas import Contract, Identifier

DecayFactor = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class PruneRequest(Contract):
    persona_id: Identifier
    player_id: Identifier | None = Field(description="None: what the persona knows by itself")
    force: bool = Field(
        default=False, description="also below the number where pruning begins, and within an hour of the last one"
    )


class Pruned(Contract):
    """`done` false: nothing was to be done, for this `reason`."""

    done: bool
    reason: str
    memories_before: Count
    memories_after: Count
    memories_pruned: Count
    average_importance_pruned: Importance | None = Field(description="None: none was pruned")
    average_importance_kept: Importance | None = Field(description="None: none is left")
    seconds: Seconds


class PrunedAll(Contract):
    personas_processed: Count
    memories_before: Count
    memories_after: Count
    memories_pruned: Count
    errors_encountered: Count = Field(description="owners whose memories could not be pruned")
    seconds: Seconds


class PruneOutlook(Contract):
    """What memory.prune would do now."""

    needs_pruning: bool
    current_count: Count
    target_count: Count
    would_prune: Count
    average_importance: Importance | None = Field(description="of those that would go; None: none would")
    least_importance: Importance | None
    greatest_importance: Importance | None


class PersonaPruned(Contract):
    persona_id: Identifier
    pruned_at: AwareDatetime


class PruneFigures(Contract):
    operations: Count
    memories_pruned: Count
    average_seconds: Seconds
    last_global_prune: AwareDatetime | None
    personas: tuple[PersonaPruned, ...] = Field(description="every persona whose memories were pruned, and when last")


class DecaySwitch(Contract):
    running: bool


class DecayConfig(Contract):
    mode: str
    interval_hours: float
    max_decay_days: float
    auto_pruning: bool
    auto_prune_threshold: Count = Field(description="memories of one player with one persona")


class DecayCycle(Contract):
    at: AwareDatetime
    personas_processed: Count
    memories_decayed: Count
    average_decay: float = Field(ge=0, description="of an importance, of those that decayed")
    seconds: Seconds


class DecayFigures(Contract):
    running: bool
    cycles: Count
    memories_decayed: Count
    auto_prunes: Count
    recent: DecayCycle | None = Field(description="None: there was no cycle yet")
    config: DecayConfig


class FadeRequest(Contract):
    persona_id: Identifier
    player_id: Identifier | None = Field(description="None: what the persona knows by itself")
    factor: DecayFactor = 0.1


class Faded(Contract):
    memories_processed: Count
    memories_decayed: Count


class CycleDone(Contract):
    """A cycle that did not wait for its time."""

    cycle: DecayCycle
    auto_prunes: Count
