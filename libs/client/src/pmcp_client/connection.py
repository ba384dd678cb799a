"""One socket to a gateway, shared by any number of concurrent calls and streams, matched by request id.

Above are callers; below the `websockets` library. A single reader task gives each frame to whoever waits for its id;
it never waits for a slow caller, so one unread stream cannot hold up the other calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed

from pmcp_client.failures import ClientError, ConnectionLost, failure_of
from pmcp_client.stream import Frame, ReplyStream
from pmcp_common.contracts.frames import START

MAX_FRAME_BYTES = 4 * 1024 * 1024
"""An end frame holds the whole reply twice (once for old clients)."""
CLOSE_TIMEOUT_SECONDS = 2.0
PING_SECONDS = 20.0
_STREAM = "\0stream"
"""Where `_deliver` leaves the stream in its first frame; no key of the wire is like it."""


class Client:
    """An open connection; made by `connect`."""

    def __init__(self, socket: ClientConnection, player_id: str | None) -> None:
        self.player_id = player_id
        self._socket = socket
        self._numbers = itertools.count(1)
        self._calls: dict[str, asyncio.Future[Frame]] = {}
        self._streams: dict[str, ReplyStream] = {}
        self._lost: ConnectionLost | None = None

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, timeout_seconds: float = 30.0
    ) -> dict[str, Any]:
        """The result. Raises CallFailed, ConnectionLost, TimeoutError. Any number of calls may run at once."""
        answer = await self._ask(method, params, timeout_seconds)
        if "error" in answer and answer["error"] is not None:
            raise failure_of(answer["error"])
        result = answer.get("result")
        return result if isinstance(result, dict) else {}

    async def stream(
        self, method: str, params: Mapping[str, Any] | None = None, timeout_seconds: float = 30.0
    ) -> ReplyStream:
        """A reply that was accepted. Raises what `call` raises when it was not."""
        answer = await self._ask(method, params, timeout_seconds)
        if "error" in answer and answer["error"] is not None:
            raise failure_of(answer["error"])
        stream = answer.get(_STREAM)
        if not isinstance(stream, ReplyStream):
            raise ClientError(f"{method} does not stream")
        return stream

    async def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send without an id: it is carried out and never answered."""
        await self._send({"jsonrpc": "2.0", "method": method, "params": self._with_player(params)})

    async def _ask(self, method: str, params: Mapping[str, Any] | None, timeout_seconds: float) -> Frame:
        number = str(next(self._numbers))
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._calls[number] = answer
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": self._with_player(params)}
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._send(request)
                return await answer
        finally:
            self._calls.pop(number, None)

    def _with_player(self, params: Mapping[str, Any] | None) -> dict[str, Any]:
        named = {} if self.player_id is None else {"player_id": self.player_id}
        return {**named, **(params or {})}

    async def _send(self, request: Frame) -> None:
        if self._lost is not None:
            raise self._lost
        try:
            await self._socket.send(orjson.dumps(request).decode())
        except ConnectionClosed as error:
            raise _lost(error) from error

    async def _cancel(self, stream_id: str) -> None:
        await self.call("stream.cancel", {"stream_id": stream_id})

    async def read_frames(self) -> None:
        """Run by `connect` until the socket closes."""
        try:
            while True:
                frame = orjson.loads(await self._socket.recv())
                if isinstance(frame, dict):
                    self._deliver(frame)
        except ConnectionClosed as error:
            self._fail_all(_lost(error))
        except orjson.JSONDecodeError:
            self._fail_all(ConnectionLost(None, "the gateway sent what is not JSON"))
            await self._socket.close(1002)

    def _deliver(self, frame: Frame) -> None:
        number = str(frame.get("id"))
        stream = self._streams.get(number)
        if stream is not None:
            if stream.feed(frame):
                del self._streams[number]
            return
        answer = self._calls.get(number)
        if answer is None or answer.done():
            return
        result = frame.get("result")
        if isinstance(result, dict) and result.get("event_type") == START:
            # Before the caller runs again: the next frames may be in the same read.
            self._streams[number] = ReplyStream(self._cancel, result)
            frame[_STREAM] = self._streams[number]
        answer.set_result(frame)

    def _fail_all(self, failure: ConnectionLost) -> None:
        self._lost = failure
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(failure)
        for stream in self._streams.values():
            stream.break_off(failure)
        self._streams.clear()


def _lost(error: ConnectionClosed) -> ConnectionLost:
    return ConnectionLost(error.rcvd.code, error.rcvd.reason) if error.rcvd else ConnectionLost(None, "")


@asynccontextmanager
async def connect(
    url: str, *, player_id: str | None = None, open_timeout_seconds: float = 10.0
) -> AsyncIterator[Client]:
    """An open connection for the length of the block; `player_id` goes with each call that does not name one.

    Raises OSError (nobody listens), TimeoutError, and websockets' InvalidURI and InvalidHandshake.
    """
    socket = await open_websocket(
        url,
        compression=None,
        max_size=MAX_FRAME_BYTES,
        open_timeout=open_timeout_seconds,
        close_timeout=CLOSE_TIMEOUT_SECONDS,
        ping_interval=PING_SECONDS,
        ping_timeout=PING_SECONDS,
        proxy=None,
    )
    client = Client(socket, player_id)
    reader = asyncio.create_task(client.read_frames(), name="pmcp-client-reader")
    try:
        yield client
    finally:
        await socket.close()
        reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reader
