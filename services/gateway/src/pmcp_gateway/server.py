"""How uvicorn serves this process: its WebSocket and HTTP protocols, with the bounds they lack.

uvicorn waits without end for a client that stops reading, and for one that trickles its headers; both are bounded
here. Everything else (framing, keep-alive, size limit) is uvicorn's and the websockets library's.
"""

from __future__ import annotations

import asyncio
import random
import socket
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

from pmcp_common.contracts import closing
from pmcp_gateway.connection import CUT, DRAINING
from pmcp_gateway.protocol import MAX_FRAME_BYTES

CUT_SECONDS = 10.0
"""After a close frame: how long the client may take to read it before the connection is dropped."""
HEADER_SECONDS = 10.0
MAX_HEADER_BYTES = 64 * 1024
SEND_BUFFER_BYTES = 128 * 1024
"""Of the kernel, for one socket. Left to itself it grows to 4 MB and hides that a client reads nothing."""
PING_SECONDS = 12.0
"""Between pings, and how long each may stay unanswered: a half-open socket is found within 24 s."""
DEAD_SECONDS = 5.0
"""After an unanswered ping: then the connection is dropped."""
DRAIN_SECONDS = 1.5
"""Over so long a stop spreads its closes, so that the clients of a full gateway do not come back as one."""
DRAIN_SECONDS_EACH = 0.002
_random = random.SystemRandom()


class SocketProtocol(WebSocketsSansIOProtocol):
    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.handshake_initiated and not self.handshake_complete:
            # The endpoint's task exists but has not run yet.
            cast(dict[str, Any], self.scope)[CUT] = self.cut
            plug = self.transport.get_extra_info("socket")
            if plug is not None:
                plug.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def cut(self, code: int, reason: str) -> None:
        """Close without waiting for the client to read what was sent before; drop it after CUT_SECONDS."""
        if self.close_sent or self.transport.is_closing() or self.conn.state is not State.OPEN:
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.close_timer = self.loop.call_later(CUT_SECONDS, self.transport.abort)
        if self.read_paused:  # the client's own close frame is still to be read
            self.read_paused = False
            self.transport.resume_reading()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": closing.SILENT.code})
        # close() waits for the buffer to drain, which a dead peer never lets it.
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(DEAD_SECONDS, self.transport.abort)

    def shutdown(self) -> None:
        """The process is being stopped: say so, and close with 1012 soon after, each socket at a time of its own."""
        if self.close_sent or not self.handshake_complete or self.conn.state is not State.OPEN:
            super().shutdown()
            return
        spread = min(DRAIN_SECONDS, DRAIN_SECONDS_EACH * len(self.connections))
        reconnect_ms = int(_random.uniform(0, spread) * 1000)
        self.queue.put_nowait(cast(Any, {"type": DRAINING, "reconnect_ms": reconnect_ms}))
        reason = closing.restart_reason(reconnect_ms)
        # Not at once even when alone: the notice above is to go first.
        self.loop.call_later(DRAIN_SECONDS_EACH + _random.uniform(0, spread), self.cut, closing.RESTART.code, reason)

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_utf8(b"".join(self.frames)):
            self.frames = []
            self.cut(closing.INVALID_UTF8.code, closing.INVALID_UTF8.reason)
            return
        super().send_receive_event_to_app()


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class HttpProtocol(HttpToolsProtocol):
    """Bounds the time and the size of a request's headers."""

    _header_timer: asyncio.TimerHandle | None = None
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._header_timer is not None:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self._headers_came()
                self.send_400_response("Request headers too large.")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_headers()

    def on_headers_complete(self) -> None:
        self._headers_came()
        super().on_headers_complete()

    def _await_headers(self) -> None:
        if self._header_timer is None:
            self._header_bytes = 0
            self._header_timer = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _headers_came(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


def server_options(ping_seconds: float = PING_SECONDS) -> dict[str, Any]:
    """For `http_service.run`, over its own."""
    return {
        "http": HttpProtocol,
        "ws": SocketProtocol,
        "ws_max_size": MAX_FRAME_BYTES,
        "ws_per_message_deflate": False,
        "ws_ping_interval": ping_seconds,
        "ws_ping_timeout": ping_seconds,
        "graceful_timeout_seconds": 3,
    }
