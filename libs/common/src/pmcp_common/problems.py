"""RFC 9457 problem details: how an internal HTTP API answers with an error, and how a caller reads it back.

One mapping in each direction, both from the error table. The body never holds foreign exception text nor the
rejected input (it may be a player's private words).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import BaseModel, Field

from pmcp_common.contracts.errors import BY_CODE, INTERNAL_ERROR, INVALID_PARAMS, NOT_FOUND, DomainError, RemoteError

MEDIA_TYPE = "application/problem+json"
_TYPE_PREFIX = "urn:pmcp:error:"
_MAX_REPORTED_FAULTS = 10
_BOUNDS = ("min_length", "max_length", "ge", "gt", "le", "lt")
_MAX_FIELD_CHARS = 200  # of a field we do not know the name is the caller's


class Problem(BaseModel):
    """The body of every error, as an OpenAPI document describes it."""

    type: str = Field(description=f"{_TYPE_PREFIX} and the error's name; about:blank for what HTTP itself refuses")
    title: str
    status: int
    detail: str
    code: int = Field(description="of the table of errors in docs/protocol.md")
    retryable: bool
    data: dict[str, Any]


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
    for status, description in (("4XX", "The request cannot be carried out."), ("5XX", "A part failed or is away."))
}
"""Of every route, for its OpenAPI document."""


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


def _bounds(fault: Mapping[str, Any]) -> dict[str, int | float]:
    """What the rule allows: of the contract, not of the caller."""
    known = fault.get("ctx") or {}
    return {name: known[name] for name in _BOUNDS if isinstance(known.get(name), int | float)}


def _told(place: Mapping[str, Any]) -> list[str]:
    return [f"({name} {place[name]})" for name in _BOUNDS if name in place]


def from_faults(faults: Sequence[Mapping[str, Any]]) -> tuple[int, bytes]:
    """For a request that does not fit its contract. Names each place, rule and bound, and repeats no value.

    pydantic's own sentence may quote the value (enums, formats of dates), so only its rule name is passed on.
    """
    places = [
        {
            "field": ".".join(str(part) for part in fault["loc"])[:_MAX_FIELD_CHARS],
            "rule": str(fault["type"]),
            **_bounds(fault),
        }
        for fault in faults[:_MAX_REPORTED_FAULTS]
    ]
    detail = "; ".join(" ".join([f"{place['field']}: {place['rule']}", *_told(place)]) for place in places)
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
