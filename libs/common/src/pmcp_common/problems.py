"""RFC 9457 problem details: how an internal HTTP API answers with an error, and how a caller reads it back.

One mapping in each direction, both from the error table. The body never holds foreign exception text nor the
rejected input (it may be a player's private words).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from pmcp_common.contracts.errors import BY_CODE, INTERNAL_ERROR, INVALID_PARAMS, NOT_FOUND, DomainError, RemoteError

MEDIA_TYPE = "application/problem+json"
_TYPE_PREFIX = "urn:pmcp:error:"
_MAX_REPORTED_FAULTS = 10
_MAX_FIELD_CHARS = 200  # of a field we do not know the name is the caller's


def from_error(error: DomainError) -> tuple[int, bytes]:
    """HTTP status and body for a domain error."""
    row = error.row
    return row.http_status, _encode(
        {
            "type": _TYPE_PREFIX + row.name,
            "title": row.meaning,
            "status": row.http_status,
            "detail": error.message,
            "code": row.code,
            "retryable": row.retryable,
            "data": error.data,
        }
    )


def from_status(status: int, title: str) -> tuple[int, bytes]:
    """For what HTTP itself refuses (no such route, method not allowed, body too large)."""
    row = INTERNAL_ERROR if status >= 500 else NOT_FOUND if status == 404 else INVALID_PARAMS
    return status, _encode(
        {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": title,
            "code": row.code,
            "retryable": row.retryable,
            "data": {},
        }
    )


def from_faults(faults: Sequence[Mapping[str, Any]]) -> tuple[int, bytes]:
    """For a request that does not fit its contract. Names each place and rule, and repeats no value.

    pydantic's own sentence may quote the value (enums, formats of dates), so only its rule name is passed on.
    """
    places = [
        {"field": ".".join(str(part) for part in fault["loc"])[:_MAX_FIELD_CHARS], "rule": str(fault["type"])}
        for fault in faults[:_MAX_REPORTED_FAULTS]
    ]
    detail = "; ".join(f"{place['field']}: {place['rule']}" for place in places)
    row = INVALID_PARAMS
    return row.http_status, _encode(
        {
            "type": _TYPE_PREFIX + row.name,
            "title": row.meaning,
            "status": row.http_status,
            "detail": f"Invalid request: {detail}",
            "code": row.code,
            "retryable": row.retryable,
            "data": {"faults": places},
        }
    )


def to_error(status: int, body: bytes) -> RemoteError:
    """The error a peer meant. A body that is no problem document becomes an internal error naming the
    status."""
    try:
        problem = orjson.loads(body)
        code, detail, data = problem["code"], problem["detail"], problem.get("data", {})
        if code in BY_CODE and isinstance(detail, str) and isinstance(data, dict):
            return RemoteError(code, detail, **{str(key): value for key, value in data.items()})
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        pass
    return RemoteError(INTERNAL_ERROR.code, f"The service answered with status {status}", status=status)


def _encode(problem: Mapping[str, Any]) -> bytes:
    return orjson.dumps(problem, default=str)
