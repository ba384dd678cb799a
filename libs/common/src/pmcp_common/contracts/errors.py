"""The one table of error codes, and the one exception tree.

Errors are raised anywhere in the middle as `DomainError` subclasses and become wire errors only at the boundaries
(`gateway/dispatch`, `llm_worker/jobs`, each service's API, `peers_http`). Codes -32020..-32099 belong to the Model
Context Protocol and are never used here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One row of the table: what a code means and whether the same request may succeed later."""

    code: int
    name: str
    meaning: str
    retryable: bool
    http_status: int


PARSE_ERROR = ErrorCode(-32700, "parse_error", "The frame is not JSON.", False, 400)
INVALID_REQUEST = ErrorCode(-32600, "invalid_request", "The frame is JSON, but no valid request.", False, 400)
METHOD_NOT_FOUND = ErrorCode(-32601, "method_not_found", "There is no such method.", False, 404)
INVALID_PARAMS = ErrorCode(-32602, "invalid_params", "A parameter is missing or out of its range.", False, 422)
INTERNAL_ERROR = ErrorCode(-32603, "internal_error", "A fault of ours; the log has it by request id.", True, 500)
PERSONA_NOT_FOUND = ErrorCode(-32000, "persona_not_found", "No persona has this id or name.", False, 404)
NO_ACTIVE_PERSONA = ErrorCode(-32001, "no_active_persona", "Switch to a persona first.", False, 409)
MEMORY_ERROR = ErrorCode(-32002, "memory_error", "The memory service could not do it.", True, 503)
LLM_ERROR = ErrorCode(-32003, "llm_error", "The model could not answer.", True, 503)
PERSONA_UNAVAILABLE = ErrorCode(
    -32004, "persona_unavailable", "The persona rests: energy, time or cooldown.", True, 409
)
TOO_MANY_REQUESTS = ErrorCode(-32005, "too_many_requests", "A limit of this socket or queue is reached.", True, 429)
STREAM_NOT_FOUND = ErrorCode(-32006, "stream_not_found", "No such stream is kept, or it is not yours.", False, 404)
UNAVAILABLE = ErrorCode(-32007, "unavailable", "A part this request needs is away; retry later.", True, 503)
IDEMPOTENCY_CONFLICT = ErrorCode(-32008, "idempotency_conflict", "This key was used with another body.", False, 409)
STREAM_POSITION = ErrorCode(-32009, "stream_position", "The position is not in this stream.", False, 409)
DEADLINE_EXCEEDED = ErrorCode(-32010, "deadline_exceeded", "The reply did not come in time.", True, 504)
NOT_FOUND = ErrorCode(-32011, "not_found", "No such record.", False, 404)
CONFLICT = ErrorCode(-32012, "conflict", "The record is not in the state this needs.", False, 409)
SESSION_EXPIRED = ErrorCode(-32013, "session_expired", "The session is not known (any more): open one.", False, 404)
SESSION_REFUSED = ErrorCode(-32014, "session_refused", "The resume token is not the session's.", False, 403)
SESSION_REPLACED = ErrorCode(-32015, "session_replaced", "A newer socket speaks for this session.", False, 409)

TABLE: tuple[ErrorCode, ...] = (
    PARSE_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    INVALID_PARAMS,
    INTERNAL_ERROR,
    PERSONA_NOT_FOUND,
    NO_ACTIVE_PERSONA,
    MEMORY_ERROR,
    LLM_ERROR,
    PERSONA_UNAVAILABLE,
    TOO_MANY_REQUESTS,
    STREAM_NOT_FOUND,
    UNAVAILABLE,
    IDEMPOTENCY_CONFLICT,
    STREAM_POSITION,
    DEADLINE_EXCEEDED,
    NOT_FOUND,
    CONFLICT,
    SESSION_EXPIRED,
    SESSION_REFUSED,
    SESSION_REPLACED,
)
BY_CODE: dict[int, ErrorCode] = {row.code: row for row in TABLE}


NO_PERSONA_SELECTED = "No persona selected. Use persona.switch first"


class DomainError(Exception):
    """A failure with a code, a text for people and fields for programs. Never carries foreign exception text."""

    row: ClassVar[ErrorCode] = INTERNAL_ERROR

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.data: dict[str, Any] = data

    @property
    def code(self) -> int:
        return self.row.code

    @property
    def retryable(self) -> bool:
        return self.row.retryable


class ParseError(DomainError):
    row = PARSE_ERROR


class InvalidRequest(DomainError):
    row = INVALID_REQUEST


class MethodNotFound(DomainError):
    row = METHOD_NOT_FOUND

    def __init__(self, method: str) -> None:
        super().__init__(f"Method not found: {method}")


class InvalidParams(DomainError):
    row = INVALID_PARAMS


class InternalError(DomainError):
    row = INTERNAL_ERROR


class PersonaNotFound(DomainError):
    row = PERSONA_NOT_FOUND

    def __init__(self, reference: str) -> None:
        super().__init__(f"Persona not found: {reference}", persona_id=reference)


class CurrentPersonaNotFound(DomainError):
    """The session's persona is there no more."""

    row = PERSONA_NOT_FOUND

    def __init__(self, reference: str) -> None:
        super().__init__(f"Current persona not found (Persona not found: {reference})", persona_id=reference)


class PersonasNotFound(DomainError):
    """Of two that were named."""

    row = PERSONA_NOT_FOUND

    def __init__(self, *missing: str) -> None:
        super().__init__(f"One or both personas not found: {', '.join(missing)}", missing=list(missing))


class NoActivePersona(DomainError):
    """`told`: in the words in which clients of this method know it; the general ones are then the `hint`."""

    row = NO_ACTIVE_PERSONA

    def __init__(self, told: str = NO_PERSONA_SELECTED) -> None:
        super().__init__(told, **({} if told == NO_PERSONA_SELECTED else {"hint": NO_PERSONA_SELECTED}))


class PersonaUnavailable(DomainError):
    row = PERSONA_UNAVAILABLE

    def __init__(self, name: str, **data: Any) -> None:
        super().__init__(f"Persona {name} is not available for interaction", **data)


class MemoryFailed(DomainError):
    row = MEMORY_ERROR


class ModelFailed(DomainError):
    """The model gave no usable reply; `reason` says which way it failed."""

    row = LLM_ERROR


class TooManyRequests(DomainError):
    row = TOO_MANY_REQUESTS


class StreamNotFound(DomainError):
    row = STREAM_NOT_FOUND

    def __init__(self, stream_id: str) -> None:
        super().__init__(f"Stream not found: {stream_id}", stream_id=stream_id)


class StreamPosition(DomainError):
    row = STREAM_POSITION


class Unavailable(DomainError):
    """A part is away (Redis, Postgres, a service). `retry_after` in seconds, when known."""

    row = UNAVAILABLE


class IdempotencyConflict(DomainError):
    row = IDEMPOTENCY_CONFLICT


class DeadlineExceeded(DomainError):
    row = DEADLINE_EXCEEDED


class NotFound(DomainError):
    row = NOT_FOUND


class Conflict(DomainError):
    row = CONFLICT


class SessionExpired(DomainError):
    row = SESSION_EXPIRED

    def __init__(self) -> None:
        super().__init__("There is no such session, or it is kept no longer: open a new one")


class SessionRefused(DomainError):
    row = SESSION_REFUSED

    def __init__(self) -> None:
        super().__init__("The resume token is not valid (any more)")


class SessionReplaced(DomainError):
    row = SESSION_REPLACED

    def __init__(self) -> None:
        super().__init__("A newer connection has resumed this session")


class RemoteError(DomainError):
    """An error another process answered with: its code and text pass through unchanged."""

    def __init__(self, code: int, message: str, **data: Any) -> None:
        super().__init__(message, **data)
        self.row = BY_CODE.get(code, INTERNAL_ERROR)  # type: ignore[misc]  # one instance, one row
