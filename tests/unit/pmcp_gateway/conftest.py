"""A clock that moves when told."""

from __future__ import annotations

from datetime import UTC, datetime


class SteppedClock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds
