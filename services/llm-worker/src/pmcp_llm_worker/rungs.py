"""On time or honestly short (pure but for its clock): what can be said until a client's deadline, by the measured pace.

Three rungs: the full reply, a shortened one, a canned line. `chat_turn` acts on the plan; the end event names the rung.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pmcp_common.clock import Clock

RESERVE_SECONDS = 0.15
"""For the rows, the end event and the way to the client."""
MIN_TOKENS = 8
"""Fewer make no sentence: a canned line is the better answer."""
CAUTION = 0.9
PACE_SECONDS = 30.0
"""A measurement older than this is forgotten, so that a model that was slow once is tried again."""
NEWEST_SHARE = 0.3


class Rung(StrEnum):
    FULL = "full"
    SHORTENED = "shortened"
    CANNED = "canned"


@dataclass(frozen=True, slots=True)
class TimePlan:
    rung: Rung
    max_tokens: int
    seconds: float | None
    """After this the model is stopped, wherever it is; None: nobody waits for it."""


class Pace:
    """How fast the model has been lately: a moving mean over replies."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._noted_at: float | None = None
        self.first_seconds = 0.0
        self.seconds_per_token = 0.0

    @property
    def known(self) -> bool:
        return self._noted_at is not None and self._clock.monotonic() - self._noted_at < PACE_SECONDS

    def note(self, first_seconds: float, seconds: float, tokens: int) -> None:
        """One reply: until its first piece, as a whole, and how many tokens it had."""
        if tokens < MIN_TOKENS or seconds < first_seconds:
            return
        share = NEWEST_SHARE if self.known else 1.0
        self.first_seconds += share * (first_seconds - self.first_seconds)
        self.seconds_per_token += share * ((seconds - first_seconds) / tokens - self.seconds_per_token)
        self._noted_at = self._clock.monotonic()

    def tokens_in(self, seconds: float) -> float:
        """What a new reply would hold after that time."""
        return (seconds - self.first_seconds) / max(self.seconds_per_token, 1e-6) * CAUTION


def plan_time(left_seconds: float | None, wanted_tokens: int, pace: Pace) -> TimePlan:
    """`left_seconds` until the client's deadline, None without one. An unknown pace is tried, and stopped in time."""
    if left_seconds is None:
        return TimePlan(Rung.FULL, wanted_tokens, None)
    seconds = left_seconds - RESERVE_SECONDS
    affordable = pace.tokens_in(seconds) if pace.known else float(wanted_tokens)
    if seconds <= 0 or affordable < min(MIN_TOKENS, wanted_tokens):
        return TimePlan(Rung.CANNED, 0, 0.0)
    if affordable >= wanted_tokens:
        return TimePlan(Rung.FULL, wanted_tokens, seconds)
    return TimePlan(Rung.SHORTENED, int(affordable), seconds)
