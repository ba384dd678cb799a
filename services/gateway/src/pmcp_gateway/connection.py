"""The socket: frames in, tasks that serve them, frames out through the outbox. I/O only; decides nothing.

An ASGI endpoint of its own rather than a framework's, for the cost of a frame. It runs under `server.SocketProtocol`,
which puts `cut` into the scope: a close that does not wait for the client to read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from pmcp_common.contracts import closing
from pmcp_common.contracts.closing import CloseCode
from pmcp_common.contracts.errors import Unavailable
from pmcp_common.logs import request_id
from pmcp_gateway import metrics, protocol
from pmcp_gateway.dispatch import Dispatcher
from pmcp_gateway.interruptions import Interruptions
from pmcp_gateway.methods.call import Call, Connection, Live, Services
from pmcp_gateway.origin import is_allowed, origins_of
from pmcp_gateway.outbox import Outbox, OutboxLimits
from pmcp_gateway.protocol import ErrorReply, JsonId, Notification, Request
from pmcp_gateway.session import AT_ONCE, CHANGING, IDENTIFYING, refusal
from pmcp_gateway.stores import Replacement, Session

log = logging.getLogger(__name__)

CUT = "pmcp.cut"
"""Scope key of a `Callable[[int, str], None]`: close now, with this code and reason."""
DRAINING = "pmcp.draining"
"""Type of a message of the server's, beside ASGI's own: this process ends soon; with `reconnect_ms`."""
PRINCIPAL = "local"
"""Every loopback client, until authentication exists."""


@dataclass(frozen=True, slots=True)
class SocketLimits:
    max_sockets: int = 2000
    max_in_flight: int = 16
    max_malformed: int = 100
    """Malformed frames in a row; then the socket is closed with 4002."""
    max_refused: int = 1000
    """Requests in a row over the limit in flight; then the socket is closed with 4008."""
    refused_seconds: int = 5
    """How long a client closed with 4008 is to stay away."""
    outbox: OutboxLimits = field(default_factory=OutboxLimits)


class SocketEndpoint:
    """All sockets of the process."""

    def __init__(self, services: Services, tenant: str, limits: SocketLimits, interruptions: Interruptions) -> None:
        self._services = services
        self._dispatcher = Dispatcher(services)
        self._tenant = tenant
        self._limits = limits
        self._sockets: set[Socket] = set()
        self._interruptions = interruptions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        if not is_allowed(origins_of(scope["headers"])):
            metrics.REFUSED.labels("origin").inc()
            await send({"type": "websocket.close"})  # before the handshake: HTTP 403
            return
        if len(self._sockets) >= self._limits.max_sockets:
            metrics.REFUSED.labels("max_sockets").inc()
            await _refuse(send, 503, b"Too many connections")
            return
        await send({"type": "websocket.accept"})
        socket = Socket(self._services, self._dispatcher, self._new_session(), self._limits, scope[CUT], send)
        self._sockets.add(socket)
        metrics.CONNECTIONS.inc()
        try:
            await socket.serve(receive)
        finally:
            self._sockets.discard(socket)
            metrics.CONNECTIONS.dec()
            session = socket.session
            self._interruptions.note(session.tenant, session.principal, socket.interrupted)

    def _new_session(self) -> Session:
        return Session(
            tenant=self._tenant,
            session_id=uuid.UUID(self._services.new_id()).hex,
            principal=PRINCIPAL,
            connected_at=self._services.stamps.now(),
        )

    async def follow_replacements(self) -> None:
        """Until cancelled: close sockets whose session another socket has resumed, here or on another gateway."""
        async for replacement in self._services.sessions.replacements(self._services.gateway_id):
            for socket in list(self._sockets):
                socket.yield_to(replacement)

    def sweep(self) -> None:
        """Called every second: cuts off clients that take too long over one frame."""
        for socket in list(self._sockets):
            socket.outbox.sweep()


class Socket:
    def __init__(
        self,
        services: Services,
        dispatcher: Dispatcher,
        session: Session,
        limits: SocketLimits,
        cut: Callable[[int, str], None],
        send: Send,
    ) -> None:
        self._services = services
        self._dispatcher = dispatcher
        self._limits = limits
        self._cut = cut
        self._send = send
        self.outbox = Outbox(
            self._send_text, lambda: self._close(closing.TOO_SLOW), services.clock, limits.outbox, services.stamps
        )
        self._connection = Connection(session, self.outbox, id=uuid.uuid4().hex, leave=self._leave)
        self._tasks: set[asyncio.Task[None]] = set()
        self._newest: dict[JsonId, asyncio.Task[None]] = {}
        """Of the unanswered requests with this id."""
        self._identifying: asyncio.Task[None] | None = None
        self._changing: asyncio.Task[None] | None = None
        """The newest request that later ones build on; it waits for the one before it."""
        self._malformed = self._refused = 0
        self.interrupted: list[Live] = []
        """Replies that had not ended when the socket did."""

    @property
    def session(self) -> Session:
        return self._connection.session

    def yield_to(self, replacement: Replacement) -> None:
        connection, session = self._connection, self._connection.session
        if (
            session.session_id == replacement.session_id
            and session.gen < replacement.gen
            and connection.id != replacement.holder
        ):
            self._close(closing.REPLACED)

    async def serve(self, receive: Receive) -> None:
        """Until the socket closes; then nothing of it runs on, but the replies it asked for do, in their workers."""
        writer = asyncio.create_task(self._write(), name="socket-writer")
        try:
            await self._store_session()
            while not self.outbox.closed:
                message = await receive()
                if message["type"] == DRAINING:
                    self.outbox.put(
                        protocol.notification("session.draining", {"reconnect_ms": message["reconnect_ms"]})
                    )
                elif message["type"] == "websocket.receive":
                    self._take(message)
                else:
                    return
        finally:
            self.outbox.close()
            self.interrupted = list(self._connection.live.values())
            self._connection.stop_resumed()
            tasks = [writer, *self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _store_session(self) -> None:
        """Redis may be away: the socket stays, and the first request tries again."""
        with contextlib.suppress(Unavailable):
            await self._services.sessions.save(self._connection.session)
            self._connection.stored = True

    async def _send_text(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    async def _write(self) -> None:
        # The server raises OSError when the client is gone, RuntimeError for a frame after the close.
        with contextlib.suppress(OSError, RuntimeError):
            await self.outbox.run()

    def _close(self, code: CloseCode, reason: str | None = None) -> None:
        self.outbox.close()
        metrics.CLOSED.labels(str(code.code)).inc()
        log.info("socket closed by us", extra={"code": code.code, "reason": code.reason})
        self._cut(code.code, reason or code.reason)

    def _leave(self, code: CloseCode) -> None:
        self.outbox.finish(lambda: self._close(code))

    def _take(self, message: Message) -> None:
        metrics.FRAMES_IN.inc()
        text = message.get("text")
        if text is None:
            self._close(closing.UNSUPPORTED_DATA)
            return
        parsed = protocol.parse(text)
        if isinstance(parsed, ErrorReply):
            self._refuse_frame(parsed)
            return
        self._malformed = 0
        self._admit(parsed)

    def _refuse_frame(self, reply: ErrorReply) -> None:
        metrics.REFUSED.labels(reply.error.row.name).inc()
        self.outbox.put(protocol.failure(reply.id, reply.error))
        self._malformed += 1
        if self._malformed >= self._limits.max_malformed:
            self._close(closing.BAD_FRAME)

    def _admit(self, parsed: Request | Notification) -> None:
        number = parsed.id if isinstance(parsed, Request) else None
        error = refusal(len(self._tasks), self._limits.max_in_flight)
        if error is not None:
            metrics.REFUSED.labels(error.row.name).inc()
            if isinstance(parsed, Request):
                self.outbox.put(protocol.failure(number, error, parsed.method))
            self._refused += 1
            if self._refused >= self._limits.max_refused:
                self._close(closing.RATE, closing.rate_reason(self._limits.refused_seconds))
            return
        self._refused = 0
        call = Call(self._connection, number, parsed.method, uuid.uuid4().hex, isinstance(parsed, Request))
        same_id = self._newest.get(number)
        changing = self._identifying if parsed.method in AT_ONCE else self._changing
        before = {task for task in (same_id, changing) if task is not None}
        task = asyncio.create_task(self._serve(call, parsed.params, before))
        if parsed.method in CHANGING:
            self._changing = task
        if parsed.method in IDENTIFYING:
            self._identifying = task
        if number is not None:
            self._newest[number] = task
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._forget(number, done))

    def _forget(self, number: JsonId, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._newest.get(number) is task:
            del self._newest[number]
        if self._changing is task:
            self._changing = None
        if self._identifying is task:
            self._identifying = None

    async def _serve(self, call: Call, params: dict[str, Any], before: set[asyncio.Task[None]]) -> None:
        """`before`: what must have ended; also an unanswered request with the same id: some clients take the second as
        id, and send two in one."""
        request_id.set(call.request_id)
        if before:
            await asyncio.wait(before)
        await self._dispatcher.run(call, params)


async def _refuse(send: Send, status: int, reason: bytes) -> None:
    """An HTTP answer instead of the handshake."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(reason)).encode())]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": reason})
