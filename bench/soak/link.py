"""One open socket of a player: gives each frame to whoever waits for its id or its stream.

Above it: `player`. Below it: the `websockets` library. Rule: nothing is dropped but what nobody asked for.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.soak.told import Frame
from pmcp_common.testing.history import ClientRecorder

EVENT = "stream.event"
MAX_FRAME_BYTES = 4 * 1024 * 1024
OPEN_SECONDS = 4.0
CLOSE_SECONDS = 0.5
PING_SECONDS = 3.0
"""A silent peer is left after two of them."""


class Lost(Exception):
    """The socket is gone."""


async def open_socket(url: str) -> ClientConnection:
    """As every player opens its own. Raises OSError, TimeoutError, WebSocketException."""
    return await connect(
        url,
        compression=None,
        max_size=MAX_FRAME_BYTES,
        open_timeout=OPEN_SECONDS,
        close_timeout=CLOSE_SECONDS,
        ping_interval=PING_SECONDS,
        ping_timeout=PING_SECONDS,
        proxy=None,
    )


def closing_of(error: ConnectionClosed) -> tuple[int, str]:
    """The code and the reason that came; 1006 for a socket that ended without a word."""
    return (error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, "")


class Link:
    """One open socket."""

    def __init__(self, socket: ClientConnection, record: ClientRecorder) -> None:
        self._socket = socket
        self._record = record
        self._waiting: dict[str, asyncio.Queue[Frame | None]] = {}
        self._resumed: dict[str, asyncio.Queue[Frame | None]] = defaultdict(asyncio.Queue)
        """Frames of resumed streams, by stream."""
        self.recovered: set[str] = set()
        """Streams whose rest this socket brings."""
        self.lost = False

    async def read(self) -> None:
        try:
            while True:
                frame = orjson.loads(await self._socket.recv())
                if frame.get("method") == EVENT:
                    self._resumed[frame["params"]["stream_id"]].put_nowait(frame)
                elif (waiting := self._waiting.get(str(frame.get("id")))) is not None:
                    waiting.put_nowait(frame)
        except ConnectionClosed as error:
            self._record.closed(*closing_of(error))
        finally:
            self.lost = True
            for waiting in (*self._waiting.values(), *self._resumed.values()):
                waiting.put_nowait(None)

    async def rest_of(self, stream: str) -> AsyncGenerator[Frame, None]:
        """Frames of a resumed stream. Raises Lost."""
        queue = self._resumed[stream]
        while not (self.lost and queue.empty()) and (frame := await queue.get()) is not None:
            yield frame
        raise Lost

    async def ask(self, number: str, method: str, params: Mapping[str, Any]) -> AsyncGenerator[Frame, None]:
        """Frames with this id, until the caller stops. Raises Lost."""
        queue: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._waiting[number] = queue
        try:
            await self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": dict(params)})
            while (frame := await queue.get()) is not None:
                yield frame
            raise Lost
        finally:
            if self._waiting.get(number) is queue:
                del self._waiting[number]

    async def send(self, frame: Frame) -> None:
        if self.lost:
            raise Lost
        try:
            await self._socket.send(orjson.dumps(frame).decode())
        except ConnectionClosed as error:
            self.lost = True  # its reader may have had no turn yet: nobody shall try this socket again
            raise Lost from error

    async def close(self) -> None:
        await self._socket.close()
