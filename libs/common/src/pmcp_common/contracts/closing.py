"""WebSocket close codes and the advice each one carries: may the client come back, and how."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CloseCode:
    """`reconnect`: "yes" with jitter, "no" never with the same credentials, "resume" with the position, "new" with a
    new session, "later" after the time the reason says."""

    code: int
    reason: str
    reconnect: str
    when: str


UNSUPPORTED_DATA = CloseCode(1003, "text frames only", "no", "A binary frame came.")
INVALID_UTF8 = CloseCode(1007, "invalid UTF-8", "no", "A text frame is not UTF-8.")
POLICY = CloseCode(1008, "origin not allowed", "no", "The page's origin may not connect.")
TOO_BIG = CloseCode(1009, "frame too large", "no", "A frame is over the limit.")
SILENT = CloseCode(1011, "keepalive ping timeout", "resume", "A ping was not answered in time.")
RESTART = CloseCode(
    1012, "service restart", "yes", "The gateway is being stopped; the reason says after how many ms to come back."
)
# The token stands for a session, not for who may connect: whoever has none opens a new session. So may its rightful
# owner, whose newer token a broker without its last second of data does not know. A credential would be a "no".
UNAUTHENTICATED = CloseCode(4001, "resume token refused", "new", "A resume token was not the session's.")
BAD_FRAME = CloseCode(4002, "too many malformed frames", "no", "Too many malformed frames in a row.")
NO_CREDENTIAL = CloseCode(4003, "no credential in time", "no", "Reserved: there are no credentials yet.")
RATE = CloseCode(
    4008,
    "too many requests",
    "later",
    "Too many requests in a row were over the limit in flight; the reason says after how many seconds to come back.",
)
SESSION_EXPIRED = CloseCode(4009, "session expired", "new", "The session to resume is not known (any more).")
TOO_SLOW = CloseCode(4010, "too slow", "resume", "The client did not take its frames in time.")
REPLACED = CloseCode(4011, "replaced by a newer connection", "no", "A newer socket has resumed the session.")
PROTOCOL_VERSION = CloseCode(4012, "protocol version not supported", "no", "`session.open` asked for another version.")

TABLE: tuple[CloseCode, ...] = (
    UNSUPPORTED_DATA,
    INVALID_UTF8,
    POLICY,
    TOO_BIG,
    SILENT,
    RESTART,
    UNAUTHENTICATED,
    BAD_FRAME,
    NO_CREDENTIAL,
    RATE,
    SESSION_EXPIRED,
    TOO_SLOW,
    REPLACED,
    PROTOCOL_VERSION,
)
BY_CODE: dict[int, CloseCode] = {row.code: row for row in TABLE}

_NAMED = re.compile(r"; (reconnect_ms|retry_after)=([0-9]{1,9})", re.ASCII)


def restart_reason(reconnect_ms: int) -> str:
    """`RESTART`'s reason with the time after which to come back."""
    return f"{RESTART.reason}; reconnect_ms={reconnect_ms}"


def rate_reason(retry_after: int) -> str:
    """`RATE`'s reason with the seconds after which to come back."""
    return f"{RATE.reason}; retry_after={retry_after}"


def seconds_away(reason: str) -> float | None:
    """What `restart_reason` or `rate_reason` put into a reason."""
    named = _NAMED.search(reason)
    if named is None:
        return None
    return int(named[2]) / (1000 if named[1] == "reconnect_ms" else 1)
