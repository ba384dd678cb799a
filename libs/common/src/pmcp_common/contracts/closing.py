"""WebSocket close codes and the advice each one carries: may the client come back, and how."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CloseCode:
    """`reconnect`: "yes" at once with jitter, "no" never with the same credentials, "resume" with the position."""

    code: int
    reason: str
    reconnect: str


UNSUPPORTED_DATA = CloseCode(1003, "text frames only", "no")
INVALID_UTF8 = CloseCode(1007, "invalid UTF-8", "no")
POLICY = CloseCode(1008, "origin not allowed", "no")
TOO_BIG = CloseCode(1009, "frame too large", "no")
RESTART = CloseCode(1012, "service restart", "yes")
BAD_FRAME = CloseCode(4002, "too many malformed frames", "no")
TOO_SLOW = CloseCode(4010, "too slow", "resume")

TABLE: tuple[CloseCode, ...] = (
    UNSUPPORTED_DATA,
    INVALID_UTF8,
    POLICY,
    TOO_BIG,
    RESTART,
    BAD_FRAME,
    TOO_SLOW,
)
