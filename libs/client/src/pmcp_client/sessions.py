"""The client's half of a session: what opens it, resumes it on another socket, and compares positions.

Above it: `connection`, which decides when. Below it: one `Link` at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pmcp_client.failures import CallFailed, failure_of
from pmcp_client.link import Link
from pmcp_client.stream import ReplyStream
from pmcp_common.contracts.errors import METHOD_NOT_FOUND, SESSION_EXPIRED, SESSION_REFUSED, UNAVAILABLE

ANSWER_SECONDS = 10.0
DEFAULT_HEARTBEAT_SECONDS = 12.0
MAX_STREAMS = 64
TOO_MANY = "too_many"
EPOCH_CHANGED = "epoch_changed"
REPEATED = frozenset({TOO_MANY, EPOCH_CHANGED})
"""Why a stream that cannot be resumed may still be had, by its message."""


class SessionGone(Exception):
    """The session cannot be resumed: open a new one, on a new socket."""


@dataclass(slots=True)
class Session:
    session_id: str
    token: str
    heartbeat_seconds: float


class Sessions:
    """`current` is None until a gateway has opened one."""

    def __init__(self) -> None:
        self.current: Session | None = None

    @property
    def heartbeat_seconds(self) -> float:
        return self.current.heartbeat_seconds if self.current else DEFAULT_HEARTBEAT_SECONDS

    async def open(self, link: Link) -> bool:
        """False: not now (the broker is away) or never (an older gateway); the socket works without."""
        try:
            self._keep(await ask(link, "session.open", {}))
        except CallFailed as error:
            if error.code not in (METHOD_NOT_FOUND.code, UNAVAILABLE.code):
                raise
            return False
        return True

    async def resume(self, link: Link, streams: Mapping[str, ReplyStream]) -> dict[str, str]:
        """Stream id → why it cannot be recovered; the others go on. Raises SessionGone, CallFailed.

        Those over the number that a resume takes are `TOO_MANY`.
        """
        assert self.current is not None
        asked = list(streams.values())[:MAX_STREAMS]
        params = {
            "session_id": self.current.session_id,
            "resume_token": self.current.token,
            "streams": [
                {"stream_id": stream.stream_id, "epoch": stream.epoch, "last_seq": stream.received_seq}
                for stream in asked
            ],
        }
        try:
            result = await ask(link, "session.resume", params)
        except CallFailed as error:
            if error.code in (SESSION_EXPIRED.code, SESSION_REFUSED.code):
                self.current = None
                raise SessionGone from error
            raise
        self._keep(result)
        found = {entry["stream_id"]: entry for entry in result.get("streams", ())}
        return {
            stream_id: _reason(found.get(stream_id), number)
            for number, stream_id in enumerate(streams)
            if found.get(stream_id, {}).get("recovered") is not True
        }

    def _keep(self, result: Mapping[str, Any]) -> None:
        self.current = Session(
            session_id=str(result["session_id"]),
            token=str(result["resume_token"]),
            heartbeat_seconds=float(result["heartbeat_ms"]) / 1000,
        )


def _reason(entry: Mapping[str, Any] | None, number: int) -> str:
    if entry is None and number >= MAX_STREAMS:
        return TOO_MANY
    return str((entry or {}).get("reason") or "not_resumable")


async def ask(link: Link, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """Raises CallFailed, ConnectionLost, TimeoutError."""
    async with asyncio.timeout(ANSWER_SECONDS):
        answer = await link.ask(method, params)
    if answer.get("error") is not None:
        raise failure_of(answer["error"])
    result = answer.get("result")
    return result if isinstance(result, dict) else {}
