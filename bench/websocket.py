"""The cheapest WebSocket client that is still honest: handshake, frames, pings; one asyncio protocol per socket.

Above it: `bench.load`. Below it: asyncio. It knows nothing of JSON or personas.
Rule: per frame it does one slice and one call. The masking key is zero (allowed by RFC 6455 5.3, a shortcut for
a measuring client only), so that sending costs no pass over the payload.
"""

import asyncio
import base64
import os
from collections.abc import Callable, Iterator
from typing import cast
from urllib.parse import urlsplit

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
ZERO_MASK = b"\0\0\0\0"


class FrameError(ValueError):
    """Something a server must not send to a client that asked for no extension."""


class FrameReader:
    """Turns received bytes into (opcode, payload); keeps what is not yet a whole frame."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Raises `FrameError` for a fragment, a masked frame or a reserved bit."""
        if self._rest:
            data = self._rest + data
        start, end = 0, len(data)
        while end - start >= 2:
            first, length, body = data[start], data[start + 1], start + 2
            if first & 0xF0 != 0x80 or length & 0x80:
                raise FrameError(f"frame begins with {first:#04x} {length:#04x}")
            if length >= 126:
                width = 2 if length == 126 else 8
                if end - body < width:
                    break
                length = int.from_bytes(data[body : body + width], "big")
                body += width
            if end - body < length:
                break
            start = body + length
            yield first & 0x0F, data[body:start]
        self._rest = data[start:] if start < end else b""


def client_frame(opcode: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes((0x80 | opcode, 0x80 | length)) + ZERO_MASK + payload
    if length < 65_536:
        return bytes((0x80 | opcode, 0xFE)) + length.to_bytes(2, "big") + ZERO_MASK + payload
    return bytes((0x80 | opcode, 0xFF)) + length.to_bytes(8, "big") + ZERO_MASK + payload


def upgrade_request(host: str, port: int, path: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


class Socket(asyncio.Protocol):
    """One connection. Subclasses override `on_open`, `on_text` and `on_end`."""

    transport: asyncio.Transport

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._head: bytes | None = b""
        self._reader = FrameReader()
        self._ended = False

    def on_open(self) -> None: ...
    def on_text(self, payload: bytes) -> None: ...
    def on_end(self, reason: str) -> None: ...

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self.transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("lost")

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            data = self._handshake(self._head + data)
            if not data:
                return
        try:
            for opcode, payload in self._reader.feed(data):
                if opcode == TEXT:
                    self.on_text(payload)
                else:
                    self._control(opcode, payload)
        except FrameError as error:
            self._end(f"frame: {error}")

    def send_text(self, payload: bytes) -> None:
        self.transport.write(client_frame(TEXT, payload))

    def close(self) -> None:
        """Says goodbye; the end that follows is expected and not reported."""
        self._ended = True
        self.transport.write(client_frame(CLOSE, (1000).to_bytes(2, "big")))
        self.transport.close()

    def _handshake(self, data: bytes) -> bytes:
        head, found, rest = data.partition(b"\r\n\r\n")
        if not found:
            self._head = data
            return b""
        self._head = None
        if not head.startswith(b"HTTP/1.1 101"):
            self._end(f"refused: {head[:40].decode('latin-1')}")
            return b""
        self.on_open()
        return rest

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.transport.write(client_frame(PONG, payload))
        elif opcode == CLOSE:
            self._end(f"closed {int.from_bytes(payload[:2], 'big')}")

    def _end(self, reason: str) -> None:
        if not self._ended:
            self._ended = True
            self.transport.abort()
            self.on_end(reason)


async def open_socket(url: str, make: Callable[[bytes], Socket]) -> Socket:
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    request = upgrade_request(host, port, parts.path or "/")
    _, protocol = await asyncio.get_running_loop().create_connection(lambda: make(request), host, port)
    return protocol
