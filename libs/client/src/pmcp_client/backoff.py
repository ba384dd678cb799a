"""When and where to come back after a lost connection. Pure: chance is given in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pmcp_common.contracts import closing

Uniform = Callable[[float, float], float]
"""A random number between two."""


@dataclass(frozen=True, slots=True)
class Reconnect:
    """How long an application is kept waiting. Full jitter: a random part of a time that doubles."""

    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    give_up_seconds: float = 120.0
    """Without a connection for so long, everything that waits fails with ConnectionLost."""

    def delay(self, attempt: int, uniform: Uniform, reason: str = "") -> float:
        """Seconds before attempt `attempt` (from 0). `reason`: of the close, in which a gateway may name the time."""
        named = closing.seconds_away(reason)
        if named is not None:
            return min(named, self.longest_seconds)
        return uniform(0.0, self.ceiling(attempt))

    def ceiling(self, attempt: int) -> float:
        return self.longest_seconds if attempt > 30 else min(self.longest_seconds, self.first_seconds * 2**attempt)


class Attempts:
    """Counts them across connections: one that is accepted and dies at once has been no success."""

    def __init__(self, reconnect: Reconnect) -> None:
        self._reconnect = reconnect
        self._next = 0

    def lost(self, lived_seconds: float) -> None:
        """A connection ended. It counts as a success when it lived longer than the pause before it may have been."""
        if lived_seconds > self._reconnect.ceiling(self._next):
            self._next = 0

    def delay(self, uniform: Uniform, reason: str = "") -> float:
        """Seconds before the next one."""
        seconds = self._reconnect.delay(self._next, uniform, reason)
        self._next += 1
        return seconds


def may_return(code: int | None) -> bool:
    """Whether the close code allows to come back at all. No code: the network failed, so yes."""
    row = closing.BY_CODE.get(code) if code is not None else None
    return row is None or row.reconnect != "no"


def needs_new_session(code: int | None) -> bool:
    """Whether the one there was cannot be resumed."""
    row = closing.BY_CODE.get(code) if code is not None else None
    return row is not None and row.reconnect == "new"


def later(seconds: float, uniform: Uniform) -> float:
    """When to ask again: not before the time a gateway names, and not all at once."""
    return uniform(seconds, seconds * 1.5)
