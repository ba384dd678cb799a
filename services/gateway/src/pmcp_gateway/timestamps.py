"""The one form of time on the wire: ISO-8601, UTC, milliseconds, ending in Z."""

from __future__ import annotations

from datetime import datetime


def timestamp(now: datetime) -> str:
    """`now` is aware and in UTC."""
    return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
