"""A gateway made of queues: the test says what it answers, socket by socket."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close

from pmcp_client.link import Socket

OPENED = {"session_id": "s-1", "resume_token": "t-1", "gen": 1, "heartbeat_ms": 3_600_000, "resume_window_s": 600}


class FakeSocket:
    def __init__(self) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._incoming: asyncio.Queue[str | Exception] = asyncio.Queue()
        self.closed_with: int | None = None
        self.broken = False
        """What is sent fails, and the reader has not noticed yet."""

    async def send(self, text: str, /) -> None:
        if self.broken:
            raise ConnectionClosedError(None, None)
        self.sent.put_nowait(orjson.loads(text))

    async def recv(self) -> str | bytes:
        frame = await self._incoming.get()
        if isinstance(frame, Exception):
            raise frame
        return frame

    async def close(self, code: int = 1000, /) -> None:
        self.closed_with = code
        self._incoming.put_nowait(ConnectionClosedOK(Close(code, ""), None))

    def answer(self, number: str, **fields: Any) -> None:
        self.say(orjson.dumps({"jsonrpc": "2.0", "id": number, **fields}).decode())

    def event(self, **params: Any) -> None:
        self.say(orjson.dumps({"jsonrpc": "2.0", "method": "stream.event", "params": params}).decode())

    def say(self, text: str) -> None:
        self._incoming.put_nowait(text)

    def drop(self, code: int | None, reason: str = "") -> None:
        self._incoming.put_nowait(ConnectionClosedError(None if code is None else Close(code, reason), None))

    async def next_sent(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            return await self.sent.get()

    async def expect(self, method: str) -> dict[str, Any]:
        request = await self.next_sent()
        assert request["method"] == method
        return request

    async def greet(self, **fields: Any) -> dict[str, Any]:
        """Answer `session.open`, or `session.resume` and the ping after it."""
        request = await self.next_sent()
        self.answer(request["id"], result={**OPENED, **fields})
        if request["method"] == "session.resume":
            ping = await self.expect("session.ping")
            self.answer(ping["id"], result={"heads": {}, "behind": [], "resumable": True})
        return request


class FakeGateways:
    """Every socket that was opened, in order; the test takes them as they come."""

    def __init__(self) -> None:
        self.opened: asyncio.Queue[tuple[str, FakeSocket]] = asyncio.Queue()
        self.refusing = 0
        """So many attempts nobody listens."""

    async def open(self, url: str) -> Socket:
        if self.refusing:
            self.refusing -= 1
            raise OSError("nobody listens")
        socket = FakeSocket()
        self.opened.put_nowait((url, socket))
        return socket

    async def next(self) -> tuple[str, FakeSocket]:
        async with asyncio.timeout(5):
            return await self.opened.get()
