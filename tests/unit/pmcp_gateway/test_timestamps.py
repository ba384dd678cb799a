from __future__ import annotations

from datetime import UTC, datetime

from pmcp_gateway.timestamps import timestamp


def test_a_stamp_is_utc_with_milliseconds_and_a_z() -> None:
    assert timestamp(datetime(2026, 3, 1, 2, 3, 4, 56_789, UTC)) == "2026-03-01T02:03:04.056Z"
