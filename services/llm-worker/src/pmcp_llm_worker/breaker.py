"""The circuit breaker of one model (pure but for its clock): after failures in a row nobody waits for it any more.

Above it: `model_retry`. It knows neither HTTP nor what a reply is. `TRANSITIONS` is its specification: an event that
is not in it does not exist in that state.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from pmcp_common.clock import Clock

FAILURES = 5
"""Replies in a row that got no whole answer, each after its own retries."""
OPEN_SECONDS = 5.0
MAX_OPEN_SECONDS = 60.0
PROBE_SECONDS = 300.0
"""A probe that has not come back after this is forgotten; longer than any answer may take."""


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerEvent(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TRIPPED = "tripped"
    """Too many failures in a row."""
    COOLED = "cooled"
    """It was open for long enough."""


_S, _E = BreakerState, BreakerEvent
TRANSITIONS: dict[tuple[BreakerState, BreakerEvent], BreakerState] = {
    (_S.CLOSED, _E.SUCCEEDED): _S.CLOSED,
    (_S.CLOSED, _E.FAILED): _S.CLOSED,
    (_S.CLOSED, _E.TRIPPED): _S.OPEN,
    (_S.OPEN, _E.SUCCEEDED): _S.CLOSED,  # of a call that began before: the model lives
    (_S.OPEN, _E.FAILED): _S.OPEN,
    (_S.OPEN, _E.COOLED): _S.HALF_OPEN,
    (_S.HALF_OPEN, _E.SUCCEEDED): _S.CLOSED,
    (_S.HALF_OPEN, _E.FAILED): _S.OPEN,
}


class Breaker:
    """`on_change` is told each new state. While half open, one call at a time goes through."""

    def __init__(self, clock: Clock, on_change: Callable[[BreakerState], None] = lambda state: None) -> None:
        self.state = BreakerState.CLOSED
        self._clock = clock
        self._on_change = on_change
        self._failures = 0
        self._open_seconds = OPEN_SECONDS
        self._cool_at = 0.0
        self._probe_until = 0.0
        self._calls = self._probe = 0

    def begin(self) -> int | None:
        """The number of a call that may be made now; one of the three answers below follows it. None: not now."""
        now = self._clock.monotonic()
        if self.state is BreakerState.OPEN and now >= self._cool_at:
            self._probe_until = 0.0
            self._apply(BreakerEvent.COOLED)
        if self.state is BreakerState.HALF_OPEN:
            if now < self._probe_until:
                return None
            self._probe_until = now + PROBE_SECONDS
        if self.state is BreakerState.OPEN:
            return None
        self._calls += 1
        if self.state is BreakerState.HALF_OPEN:
            self._probe = self._calls
        return self._calls

    def succeeded(self) -> None:
        self._failures = 0
        self._open_seconds = OPEN_SECONDS
        self._apply(BreakerEvent.SUCCEEDED)

    def failed(self, call: int) -> None:
        if self.state is BreakerState.HALF_OPEN:
            if call != self._probe:
                return  # of a call that began before: known already
            self._open_seconds = min(self._open_seconds * 2, MAX_OPEN_SECONDS)
            self._open(BreakerEvent.FAILED)
            return
        self._failures += 1
        self._apply(BreakerEvent.FAILED)
        if self.state is BreakerState.CLOSED and self._failures >= FAILURES:
            self._open(BreakerEvent.TRIPPED)

    def abandoned(self, call: int) -> None:
        """It says nothing about the server: its caller gave up, or what it asked for cannot be had. After a probe, the
        next call may be one."""
        if call == self._probe:
            self._probe_until = 0.0

    def _open(self, event: BreakerEvent) -> None:
        self._cool_at = self._clock.monotonic() + self._open_seconds
        self._apply(event)

    def _apply(self, event: BreakerEvent) -> None:
        before, self.state = self.state, TRANSITIONS[self.state, event]
        if self.state is not before:
            self._on_change(self.state)
