"""One socket to a gateway, shared by any number of concurrent requests, matched by request id.

Above it: `connection`, which replaces a lost link by a new one. Below it: the `websockets` library. A single reader
gives each frame to whoever waits for its id; it never waits for a slow caller.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from websockets.exceptions import ConnectionClosed

from pmcp_client.failures import ConnectionLost
from pmcp_client.stream import Fed, Frame, ReplyStream
from pmcp_common.contracts.frames import START

EVENT = "stream.event"
"""Frames of a resumed stream; `params` are what `result` was."""
STREAM = "\0stream"
"""Where the stream is left in its first frame; no key of the wire is like it."""


class Socket(Protocol):
    """What is used of `websockets.asyncio.client.ClientConnection`."""

    async def send(self, text: str, /) -> None: ...

    async def recv(self) -> str | bytes: ...

    async def close(self, code: int = 1000, /) -> None: ...


class LinkOwner(Protocol):
    """Told by the reader, which neither may hold up."""

    def opened(self, start: Frame, method: str, params: Frame) -> ReplyStream: ...

    def reopened(self, stream: ReplyStream, start: Frame) -> None:
        """A stream that was asked for again begins here: the same one, or another in its place."""
        ...

    def fed(self, stream: ReplyStream, fed: Fed) -> None: ...

    def event(self, frame: Frame) -> None:
        """A frame of a resumed stream, in the form of an answer."""
        ...

    def lost(self, link: Link, failure: ConnectionLost) -> None:
        """Called before those who wait are told."""
        ...


@dataclass(frozen=True, slots=True)
class _Asked:
    answer: asyncio.Future[Frame]
    method: str
    params: Frame
    stream: ReplyStream | None
    """What the answer belongs to, when it is asked for again."""


class Link:
    def __init__(self, socket: Socket, owner: LinkOwner) -> None:
        self._socket = socket
        self._owner = owner
        self._numbers = itertools.count(1)
        self._calls: dict[str, _Asked] = {}
        self._streams: dict[str, ReplyStream] = {}
        self._failure: ConnectionLost | None = None

    @property
    def failure(self) -> ConnectionLost | None:
        """Why nothing more comes or goes; None while the link lives."""
        return self._failure

    async def ask(self, method: str, params: Frame, stream: ReplyStream | None = None) -> Frame:
        """The answer, whatever it is; the stream's first frame for a method that streams. Raises ConnectionLost.

        `stream`: takes the frames of the answer, instead of a new one.
        """
        number = str(next(self._numbers))
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._calls[number] = _Asked(answer, method, params, stream)
        try:
            await self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            return await answer
        finally:
            self._calls.pop(number, None)
            if answer.done() and not answer.cancelled():
                answer.exception()

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        await self._send({"jsonrpc": "2.0", "method": method, "params": params})

    async def _send(self, request: Frame) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            await self._socket.send(orjson.dumps(request).decode())
        except ConnectionClosed as error:
            # The reader may not have noticed yet: whoever asks again must not get this link again.
            failure = _lost(error)
            self.fail(failure)
            raise failure from error

    async def read(self) -> None:
        """Until the socket is closed."""
        try:
            while self._failure is None:
                frame = orjson.loads(await self._socket.recv())
                if isinstance(frame, dict):
                    self._deliver(frame)
        except ConnectionClosed as error:
            self.fail(_lost(error))
        except orjson.JSONDecodeError:
            self.fail(ConnectionLost(None, "the gateway sent what is not JSON"))
            await self._socket.close(1002)

    def fail(self, failure: ConnectionLost) -> None:
        """Nothing more comes or goes by this link."""
        if self._failure is not None:
            return
        self._failure = failure
        self._owner.lost(self, failure)
        for asked in self._calls.values():
            if not asked.answer.done():
                asked.answer.set_exception(failure)
        self._streams.clear()

    async def close(self) -> None:
        await self._socket.close()

    def _deliver(self, frame: Frame) -> None:
        if frame.get("method") == EVENT:
            params = frame.get("params")
            if isinstance(params, dict):
                self._owner.event({"result": params, "error": params.get("error")})
            return
        number = str(frame.get("id"))
        stream = self._streams.get(number)
        if stream is not None:
            fed = stream.feed(frame)
            if fed is Fed.ENDED:
                del self._streams[number]
            self._owner.fed(stream, fed)
            return
        asked = self._calls.get(number)
        if asked is None or asked.answer.done():
            return
        result = frame.get("result")
        if isinstance(result, dict) and result.get("event_type") == START:
            # Before the caller runs again: the next frames may be in the same read.
            frame[STREAM] = self._streams[number] = self._begin(asked, result)
        asked.answer.set_result(frame)

    def _begin(self, asked: _Asked, start: Frame) -> ReplyStream:
        if asked.stream is None:
            return self._owner.opened(start, asked.method, asked.params)
        self._owner.reopened(asked.stream, start)
        return asked.stream


def _lost(error: ConnectionClosed) -> ConnectionLost:
    return ConnectionLost(error.rcvd.code, error.rcvd.reason) if error.rcvd else ConnectionLost(None, "")
