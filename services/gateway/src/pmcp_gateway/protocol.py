"""JSON-RPC 2.0, pure: text → Request | Notification | ErrorReply, and replies → bytes. No socket, no clock, no method.

Whatever the text, exactly one of the three comes out and nothing is raised. Ids are echoed with their exact type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from pmcp_common.contracts.errors import DomainError, InvalidParams, InvalidRequest, ParseError

MAX_FRAME_BYTES = 256 * 1024
MAX_ID_CHARS = 256
"""An id comes back in every frame of its stream."""
MAX_METHOD_CHARS = 200
MAX_EXACT_NUMBER = 2**53
"""A number beyond this may have lost digits in parsing (integers over 64 bits become floats): no id to echo."""

JsonId = str | int | float | None


@dataclass(frozen=True, slots=True)
class Request:
    id: JsonId
    method: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Notification:
    """Carried out, never answered."""

    method: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ErrorReply:
    id: JsonId
    error: DomainError


Parsed = Request | Notification | ErrorReply


def parse(text: str) -> Parsed:
    try:
        # Refuses NaN, numbers over a double, lone surrogates and more than 1024 levels: no recursion of ours.
        frame = orjson.loads(text)
    except orjson.JSONDecodeError:
        return ErrorReply(None, ParseError("Parse error"))
    if isinstance(frame, list):
        return ErrorReply(None, InvalidRequest("Batches are not supported: send one request per frame"))
    if not isinstance(frame, dict):
        return ErrorReply(None, InvalidRequest("Invalid request: not an object"))
    return _read(frame)


def _read(frame: dict[str, Any]) -> Parsed:
    answered, number = "id" in frame, frame.get("id")
    if not _is_id(number):
        what = f"a string of up to {MAX_ID_CHARS} characters, a number or null"
        return ErrorReply(None, InvalidRequest(f"Invalid request: id must be {what}"))
    if frame.get("jsonrpc", "2.0") != "2.0":
        return ErrorReply(number, InvalidRequest('Invalid request: jsonrpc must be "2.0"'))
    method, params = frame.get("method"), frame.get("params")
    if not isinstance(method, str) or not 0 < len(method) <= MAX_METHOD_CHARS:
        return ErrorReply(number, InvalidRequest("Invalid request: method must be a string"))
    if params is None:
        params = {}
    if not isinstance(params, dict):
        return ErrorReply(number, InvalidParams("params must be an object"))
    return Request(number, method, params) if answered else Notification(method, params)


def _is_id(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, float):
        return abs(value) < MAX_EXACT_NUMBER
    if isinstance(value, str):
        return len(value) <= MAX_ID_CHARS
    return value is None or isinstance(value, int)


def success(number: JsonId, result: dict[str, Any]) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": number, "result": result})


def failure(number: JsonId, error: DomainError, method: str | None = None) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": number, "error": error_object(error, method)})


def stream_failure(number: JsonId, result: dict[str, Any], error: dict[str, Any]) -> bytes:
    """The one form in which existing clients want both keys."""
    return orjson.dumps({"jsonrpc": "2.0", "id": number, "result": result, "error": error})


def notification(method: str, params: dict[str, Any]) -> bytes:
    """From us to the client, which does not answer."""
    return orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params})


def error_object(error: DomainError, method: str | None = None) -> dict[str, Any]:
    """`data.detail` is the form in which every error used to come; old clients look for its parts."""
    data: dict[str, Any] = {} if method is None else {"method": method}
    data["retryable"] = error.retryable
    data["detail"] = f"Internal error: {error.message}"
    data.update(error.data)
    return {"code": error.code, "message": error.message, "data": data}
