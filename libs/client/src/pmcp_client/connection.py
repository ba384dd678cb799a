"""A connection that outlives its sockets: calls and streams go on when a gateway or the network fails.

Above are callers, who see one uninterrupted connection; below are links, one at a time. Messages carry an idempotency
key, so one whose acceptance was lost is sent again and answered once. A lost socket is replaced, with jitter, on any
of the gateways named; the streams are resumed where they were. Those that went with the broker's data are asked for
again by their message: they come again, or begin anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import WebSocketException

from pmcp_client.asking import Asking, code_of
from pmcp_client.backoff import Attempts, Reconnect, later, may_return, needs_new_session
from pmcp_client.failures import CallFailed, ClientError, ConnectionLost, StreamNotResumable, failure_of
from pmcp_client.link import STREAM, Link, Socket
from pmcp_client.messages import Messages
from pmcp_client.sessions import REPEATED, SessionGone, Sessions, ask
from pmcp_client.stream import Fed, Frame, ReplyStream
from pmcp_common.contracts import closing
from pmcp_common.contracts.errors import NO_ACTIVE_PERSONA, SESSION_EXPIRED

MAX_FRAME_BYTES = 4 * 1024 * 1024
"""An end frame holds the whole reply twice (once for old clients)."""
CLOSE_TIMEOUT_SECONDS = 2.0
PING_SECONDS = 12.0
"""Between pings, and how long each may stay unanswered."""
OpenSocket = Callable[[str], Awaitable[Socket]]
NETWORK_ERRORS = (OSError, TimeoutError, WebSocketException, ClientError)


class Client:
    """An open connection; made by `connect`."""

    def __init__(
        self,
        urls: Sequence[str],
        open_socket: OpenSocket,
        *,
        player_id: str | None = None,
        reconnect: Reconnect | None = None,
        uniform: Callable[[float, float], float] | None = None,
    ) -> None:
        self.player_id = player_id
        self.reconnects = 0
        """How often a lost socket was replaced."""
        self._urls = itertools.cycle(urls)
        self._url_count = len(urls)
        self._open_socket = open_socket
        self._reconnect = reconnect
        self._uniform = uniform or random.SystemRandom().uniform
        self._attempts = Attempts(reconnect or Reconnect())
        self._linked_at = 0.0
        self._messages = Messages(lambda: asyncio.get_running_loop().time(), player_id)
        self._asking = Asking(self._linked, self._messages, self._uniform, persistent=reconnect is not None)
        self._sessions = Sessions()
        self._streams: dict[str, list[ReplyStream]] = {}
        self._link: Link | None = None
        self._changed = asyncio.Event()
        """The link, or the end of it all, has come."""
        self._over: ConnectionLost | None = None
        self._closed = False
        self._reader: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- what callers use

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, timeout_seconds: float = 30.0
    ) -> dict[str, Any]:
        """The result. Raises CallFailed, ConnectionLost, TimeoutError. Any number of calls may run at once.

        What may be done twice (messages, by their key; what only reads) is sent again: after a lost connection, and
        when a gateway refuses it for now, after the `retry_after` it names. CallFailed is then the last refusal within
        the time given. Other requests are sent once: ConnectionLost, or CallFailed at once. A message asked for again
        after it failed in one of these ways is the same one to the gateway.
        """
        result = (await self._asking.ask(method, params, timeout_seconds)).get("result")
        result = result if isinstance(result, dict) else {}
        self._messages.answered(method, params, result)
        return result

    async def stream(
        self, method: str, params: Mapping[str, Any] | None = None, timeout_seconds: float = 30.0
    ) -> ReplyStream:
        """A reply that was accepted. Raises what `call` raises when it was not."""
        stream = (await self._asking.ask(method, params, timeout_seconds)).get(STREAM)
        if not isinstance(stream, ReplyStream):
            raise ClientError(f"{method} does not stream")
        return stream

    async def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send without an id: it is carried out and never answered. May be lost with a connection."""
        await (await self._linked()).notify(method, self._messages.with_player(params))

    # ---- requests

    async def _linked(self) -> Link:
        while self._link is None:
            if self._over is not None:
                raise self._over
            await self._changed.wait()
        return self._link

    async def _cancel(self, stream_id: str, heard_chars: int | None) -> None:
        heard = {} if heard_chars is None else {"heard_chars": heard_chars}
        await self.call("stream.cancel", {"stream_id": stream_id, **heard})

    # ---- what the link tells (`link.LinkOwner`)

    def opened(self, start: Frame, method: str, params: Frame) -> ReplyStream:
        stream = ReplyStream(self._cancel, start)
        stream.request = (method, params)
        self._streams.setdefault(stream.stream_id, []).append(stream)
        return stream

    def reopened(self, stream: ReplyStream, start: Frame) -> None:
        self._forget(stream)
        stream.feed({"result": start})
        self._streams.setdefault(stream.stream_id, []).append(stream)

    def fed(self, stream: ReplyStream, fed: Fed) -> None:
        if fed is Fed.ENDED:
            self._forget(stream)
        elif fed is Fed.GAP:
            if self._reconnect is None:
                stream.break_off(ClientError(f"a part of stream {stream.stream_id} is missing"))
                self._forget(stream)
            else:
                self._distrust("a part of a stream is missing")

    def event(self, frame: Frame) -> None:
        for stream in list(self._streams.get(str(frame["result"].get("stream_id")), ())):
            self.fed(stream, stream.feed(frame))

    def lost(self, link: Link, failure: ConnectionLost) -> None:
        """The link is gone, for a while or for good."""
        if self._link is not None and self._link is not link:
            return
        if needs_new_session(failure.code):
            self._sessions.current = None
        was_up, self._link = self._link is not None, None
        self._changed.clear()
        if self._closed or self._reconnect is None or not may_return(failure.code):
            self._end(failure)
        elif was_up:
            self._attempts.lost(asyncio.get_running_loop().time() - self._linked_at)
            self._start(self._come_back(failure, self._reconnect))

    def _forget(self, stream: ReplyStream) -> None:
        rest = [other for other in self._streams.get(stream.stream_id, ()) if other is not stream]
        if rest:
            self._streams[stream.stream_id] = rest
        else:
            self._streams.pop(stream.stream_id, None)

    def _distrust(self, reason: str) -> None:
        """Drop a link that loses frames, or does not answer."""
        link = self._link
        if link is not None:
            link.fail(ConnectionLost(None, reason))
            self._start(_close(link))

    def _end(self, failure: ConnectionLost) -> None:
        self._over = failure
        for stream_id in list(self._streams):
            self._break_off(stream_id, failure)
        self._changed.set()

    def _break_off(self, stream_id: str, failure: ClientError) -> None:
        for stream in self._streams.pop(stream_id, ()):
            stream.break_off(failure)

    # ---- sockets

    async def start(self) -> None:
        """The first socket, on the first gateway that takes one. Raises what the last one raised."""
        for left in reversed(range(self._url_count)):
            try:
                return await self._connect()
            except (OSError, TimeoutError, WebSocketException, ConnectionLost):
                if not left:
                    raise

    async def _connect(self) -> None:
        link = Link(await self._open_socket(next(self._urls)), self)
        reader = asyncio.create_task(link.read(), name="pmcp-client-reader")
        try:
            again = await self._greet(link) if self._reconnect is not None else []
            if link.failure is not None:  # it died right behind the answer, when it was nobody's link yet
                raise link.failure
        except BaseException:
            await link.close()
            reader.cancel()
            raise
        self._reader, self._link = reader, link
        self._linked_at = asyncio.get_running_loop().time()
        self._changed.set()
        if self._reconnect is not None:
            self._start(self._beat(link))
            for stream in again:
                self._start(self._ask_again(link, stream, self._reconnect))

    async def _greet(self, link: Link) -> list[ReplyStream]:
        """The streams that are to be asked for again by their messages."""
        if self._sessions.current is None:
            await self._open_session(link)
            return [stream for streams in self._streams.values() for stream in streams]
        oldest = {
            stream_id: min(streams, key=lambda stream: stream.received_seq)
            for stream_id, streams in self._streams.items()
        }
        try:
            lost = await self._sessions.resume(link, oldest)
        except SessionGone:
            # The next socket begins a new one, and asks for the streams again.
            raise ConnectionLost(closing.SESSION_EXPIRED.code, closing.SESSION_EXPIRED.reason) from None
        again = []
        for stream_id, reason in lost.items():
            if reason in REPEATED:
                again += self._streams.get(stream_id, [])
            else:
                self._break_off(stream_id, StreamNotResumable(stream_id, reason))
        await ask(link, "session.ping", {})  # the new token has arrived: the old one may go
        return again

    async def _ask_again(self, link: Link, stream: ReplyStream, reconnect: Reconnect) -> None:
        """By its message under its key: the reply comes again from its first position, or begins anew."""
        give_up_at = asyncio.get_running_loop().time() + reconnect.give_up_seconds
        while stream in self._streams.get(stream.stream_id, ()) and stream.request is not None:
            try:
                answer = await link.ask(*stream.request, stream)
                if code_of(answer) == NO_ACTIVE_PERSONA.code and self._messages.persona is not None:
                    await link.ask("persona.switch", self._messages.persona)
                    answer = await link.ask(*stream.request, stream)
            except ConnectionLost:
                return  # the next link takes care of it
            if answer.get("error") is None or STREAM in answer:
                return
            failure = failure_of(answer["error"])
            if not failure.retryable or asyncio.get_running_loop().time() >= give_up_at:
                reason = str(failure.data.get("reason", SESSION_EXPIRED.name))
                self._break_off(stream.stream_id, StreamNotResumable(stream.stream_id, reason))
                return
            pause = float(failure.data.get("retry_after", reconnect.first_seconds))
            await asyncio.sleep(later(pause, self._uniform))

    async def _open_session(self, link: Link) -> None:
        opened = await self._sessions.open(link)
        if opened and self._messages.persona is not None:
            with contextlib.suppress(CallFailed):
                await ask(link, "persona.switch", self._messages.persona)

    async def _come_back(self, failure: ConnectionLost, reconnect: Reconnect) -> None:
        give_up_at = asyncio.get_running_loop().time() + reconnect.give_up_seconds
        reason = failure.reason
        while True:
            await asyncio.sleep(self._attempts.delay(self._uniform, reason))
            if self._over is not None:
                return
            try:
                await self._connect()
            except NETWORK_ERRORS as error:
                if asyncio.get_running_loop().time() >= give_up_at or _is_final(error):
                    self._end(error if isinstance(error, ConnectionLost) else failure)
                    return
                reason = error.reason if isinstance(error, ConnectionLost) else ""
                continue
            self.reconnects += 1
            return

    async def _beat(self, link: Link) -> None:
        """Compare positions until the link is gone: a silent loss shows within one beat."""
        while True:
            await asyncio.sleep(self._sessions.heartbeat_seconds)
            if self._link is not link:
                return
            heads = {
                stream_id: streams[0].received_seq for stream_id, streams in itertools.islice(self._streams.items(), 64)
            }
            try:
                answer = await ask(link, "session.ping", {"heads": heads})
                self._compare(answer)
                if answer.get("resumable") is False:
                    await self._open_session(link)
            except CallFailed:
                continue
            except TimeoutError:
                self._distrust("a ping was not answered")
            except ConnectionLost:
                return

    def _compare(self, answer: Mapping[str, Any]) -> None:
        ahead = [
            stream_id
            for stream_id, head in dict(answer.get("heads", {})).items()
            if any(stream.received_seq < head for stream in self._streams.get(stream_id, ()))
        ]
        if ahead or any(stream_id in self._streams for stream_id in answer.get("behind", ())):
            self._distrust("a part of a stream is missing")

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="pmcp-client")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        self._closed = True
        link = self._link
        for task in list(self._tasks):
            task.cancel()
        if link is not None:
            await link.close()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, *self._tasks, return_exceptions=True)
        if self._over is None:
            self._end(ConnectionLost(1000, "closed by the application"))


def _is_final(error: BaseException) -> bool:
    return isinstance(error, ConnectionLost) and not may_return(error.code)


async def _close(link: Link) -> None:
    with contextlib.suppress(OSError, WebSocketException):
        await link.close()


@asynccontextmanager
async def connect(
    urls: str | Sequence[str],
    *,
    player_id: str | None = None,
    open_timeout_seconds: float = 10.0,
    reconnect: Reconnect | None = Reconnect(),  # noqa: B008 - frozen
) -> AsyncIterator[Client]:
    """An open connection for the length of the block; `player_id` goes with each call that does not name one.

    `urls`: one gateway or several of the same house; a lost one is replaced by the next. `reconnect` None: the
    connection ends with its socket, and every request is sent once. Raises OSError (nobody listens), TimeoutError, and
    websockets' InvalidURI and InvalidHandshake.
    """

    async def open_socket(url: str) -> Socket:
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
        return cast(Socket, socket)

    client = Client([urls] if isinstance(urls, str) else urls, open_socket, player_id=player_id, reconnect=reconnect)
    try:
        await client.start()
        yield client
    finally:
        await client.close()
