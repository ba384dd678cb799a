"""The one form of time on the wire: ISO-8601, UTC, milliseconds, ending in Z."""

from __future__ import annotations

from datetime import datetime

from pmcp_common.clock import Clock


def timestamp(moment: datetime) -> str:
    """`moment` is aware and in UTC."""
    return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"


class Stamps:
    """The time now, formatted once per millisecond: thousands of frames a second carry it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._millisecond = -1
        self._text = ""

    def now(self) -> str:
        millisecond = int(self._clock.monotonic() * 1000)
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            self._text = timestamp(self._clock.now())
        return self._text
