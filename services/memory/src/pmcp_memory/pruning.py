"""Which memories go when there are too many. Pure; rules and numbers are those existing clients know.

keep = 0.6 importance + 0.3 min(accesses / 10, 1) + 0.1 youth, where youth is 1 within 7 days, 0.1 after 90, linear
between. Never pruned: what matters (0.7 and more), was recalled five times, is not recalled yet and younger than 30
days; nor what is pinned, or was shared by an explicit act.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

SAFE_IMPORTANCE = 0.7
SAFE_ACCESSES = 5
TRIAL = timedelta(days=30)
"""So long may a memory wait for its first recall."""
PAUSE = timedelta(hours=1)
"""Between two prunings of one player's memories."""
START_SHARE, TARGET_SHARE = 0.9, 0.8
"""Of the limit."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Numbers of memories: pruning begins at `start` and stops at `target`."""

    start: int
    target: int

    @classmethod
    def of(cls, limit: int) -> Self:
        """Shares of it, rounded down."""
        return cls(int(limit * START_SHARE), int(limit * TARGET_SHARE))

    def excess(self, memories: int, *, force: bool = False) -> int:
        """How many of so many are too many. Forced, pruning begins at once."""
        return max(memories - self.target, 0) if force or memories >= self.start else 0


@dataclass(frozen=True, slots=True)
class Prunable:
    id: str
    importance: float
    accessed_count: int
    created_at: datetime
    protected: bool
    """Pinned, shared or public."""


def youth(created_at: datetime, now: datetime) -> float:
    days = (now - created_at).total_seconds() / 86_400
    if days <= 7:
        return 1.0
    if days >= 90:
        return 0.1
    return 1.0 - 0.9 * (days - 7) / 83


def keep_score(memory: Prunable, now: datetime) -> float:
    """0..1"""
    accesses = min(memory.accessed_count / 10, 1.0)
    return 0.6 * memory.importance + 0.3 * accesses + 0.1 * youth(memory.created_at, now)


def is_safe(memory: Prunable, now: datetime) -> bool:
    return (
        memory.protected
        or memory.importance >= SAFE_IMPORTANCE
        or memory.accessed_count >= SAFE_ACCESSES
        or (memory.accessed_count == 0 and now - memory.created_at < TRIAL)
    )


def choose(memories: Sequence[Prunable], bounds: Bounds, now: datetime, *, force: bool = False) -> list[str]:
    """Ids to forget, least worth first: as many as are too many, or as the safe ones allow."""
    excess = bounds.excess(len(memories), force=force)
    unsafe = sorted(
        (memory for memory in memories if not is_safe(memory, now)),
        key=lambda memory: (keep_score(memory, now), memory.created_at, memory.id),
    )
    return [memory.id for memory in unsafe[:excess]]
