"""What a caller of the client may have to catch, as one tree."""

from __future__ import annotations

from typing import Any


class ClientError(Exception):
    """Root of this package's errors."""


class CallFailed(ClientError):
    """The gateway answered with an error. Codes are those of `pmcp_common.contracts.errors`."""

    def __init__(self, code: int, message: str, data: dict[str, Any], *, retryable: bool) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.data = data
        """Fields for programs; may be empty."""
        self.retryable = retryable
        """The same request may succeed later, after `retry_after` seconds when `data` has it."""


class StreamFailed(CallFailed):
    """A reply that had begun ended with an error. What came before it stays valid."""

    def __init__(self, failure: CallFailed, terminal: dict[str, Any]) -> None:
        super().__init__(failure.code, failure.message, failure.data, retryable=failure.retryable)
        self.terminal = terminal


class StreamBroken(ClientError):
    """What arrived is not the reply that was made: a gap, a repeat, a wrong hash, or nobody read it in time."""


class StreamNotResumable(ClientError):
    """The connection was lost, and the rest of this reply cannot be had any more. What came before it stays valid."""

    def __init__(self, stream_id: str, reason: str) -> None:
        super().__init__(f"stream {stream_id} cannot be resumed: {reason}")
        self.stream_id = stream_id
        self.reason = reason
        """epoch_changed, expired, gap, ahead, not_resumable, or session_expired"""


class ConnectionLost(ClientError):
    """The socket is closed; whatever waited on it gets this. A reply goes on at the server, see `stream.read`."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(f"connection lost ({code}): {reason}" if reason else f"connection lost ({code})")
        self.code = code
        """WebSocket close code, see `pmcp_common.contracts.closing`; None: no close frame was received."""
        self.reason = reason


def failure_of(error: object) -> CallFailed:
    """Reads a JSON-RPC error object; whatever is missing in it becomes a neutral value."""
    fields = error if isinstance(error, dict) else {}
    code, message, data = fields.get("code"), fields.get("message"), fields.get("data")
    if not isinstance(data, dict):
        data = {} if data is None else {"detail": data}
    return CallFailed(
        code if isinstance(code, int) else 0,
        message if isinstance(message, str) else "the gateway answered with an error of unknown form",
        data,
        retryable=data.get("retryable") is True,
    )
