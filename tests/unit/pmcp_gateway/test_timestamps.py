from __future__ import annotations

from datetime import UTC, datetime

from pmcp_gateway.timestamps import Stamps, timestamp

from .conftest import SteppedClock


def test_a_stamp_is_utc_with_milliseconds_and_a_z() -> None:
    assert timestamp(datetime(2026, 3, 1, 2, 3, 4, 56_789, UTC)) == "2026-03-01T02:03:04.056Z"


def test_a_whole_second_has_its_milliseconds_too() -> None:
    assert timestamp(datetime(2026, 3, 1, tzinfo=UTC)) == "2026-03-01T00:00:00.000Z"


def test_stamps_follow_the_clock() -> None:
    clock = SteppedClock()
    stamps = Stamps(clock)
    first = stamps.now()
    assert stamps.now() is first
    clock.seconds += 0.25
    assert stamps.now() == "1970-01-01T00:16:40.250Z"
