"""A player that leaves everything to `pmcp_client`: it calls, iterates, and never sees a lost socket.

What came over the wire is recorded below the library, and what the application got is held against it. Above it:
`crowd`, `tests/faults`. Rules: nothing of the library is replaced but the function that opens a socket; and what the
library does not bring to its end is nobody's to bring: the run has failed.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, WebSocketException

from bench.soak.link import EVENT, closing_of
from bench.soak.player import GaveUp, Player
from bench.soak.told import Frame, Told
from pmcp_client.backoff import Reconnect
from pmcp_client.connection import Client
from pmcp_client.failures import CallFailed, ClientError, StreamFailed
from pmcp_common.contracts.frames import START

QUICK = Reconnect(first_seconds=0.1, longest_seconds=2.0)
"""Shipped are 0.5 s and 30 s: a crowd of thousands needs them, this one does not."""
ACCEPT_SECONDS = 60.0
"""The application's own bound for a message's acceptance: no fault here lasts so long."""
LONGEST_PAUSE_SECONDS = 10.0
"""The library asks no more when the pause it was told to make would end behind the bound."""
CANCEL_SECONDS = 10.0
TRANSPORT_ERRORS = (OSError, WebSocketException, ClientError)


class LibraryGaveUp(GaveUp):
    """The application was told of what it shall never see: a connection lost for good, a stream that is broken or
    cannot be resumed, a message that nobody took in time."""


class RecordingSocket:
    """What `pmcp_client` asks of a socket; takes down what passes."""

    def __init__(self, socket: ClientConnection, player: LibraryPlayer) -> None:
        self._socket = socket
        self._player = player
        self._asked: dict[str, Frame] = {}
        """Requests of this socket whose answers mean something, by their id."""

    async def send(self, text: str, /) -> None:
        request = orjson.loads(text)
        if request["method"] in ("persona.chat_stream", "session.resume"):
            self._asked[str(request.get("id"))] = request
        await self._socket.send(text)

    async def recv(self) -> str | bytes:
        try:
            text = await self._socket.recv()
        except ConnectionClosed as error:
            self._player.lost_a_socket(*closing_of(error))
            raise
        self._take(orjson.loads(text))
        return text

    async def close(self, code: int = 1000, /) -> None:
        await self._socket.close(code)

    def _take(self, frame: Frame) -> None:
        if frame.get("method") == EVENT:
            self._player.saw(frame, frame["params"])
            return
        request = self._asked.get(str(frame.get("id")))
        if request is None:
            return
        if request["method"] == "session.resume":
            self._player.resumed(request["params"]["streams"], (frame.get("result") or {}).get("streams", []))
        else:
            self._player.answered(request["params"]["idempotency_key"], frame)


class LibraryPlayer(Player):
    def __init__(self, *arguments: Any, reconnect: Reconnect = QUICK, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._reconnect = reconnect
        self._client: Client | None = None

    # ---- what the socket tells

    def answered(self, key: str, frame: Frame) -> None:
        told = next(one for one in self.told if one.params["idempotency_key"] == key)
        result = frame.get("result") or {}
        if told.stream == result.get("stream_id") and result.get("event_type") == START and "recovered" not in result:
            # Asked for again, by its message: from the beginning, or anew.
            kept = result["epoch"] == told.epoch
            self.record.resumed(told.stream, result["epoch"], 0, recovered=kept, reason="" if kept else "epoch_changed")
        error = frame.get("error")
        if error and "seq" not in result:  # of this asking; what was accepted before goes on
            told.refused(error)
        elif "event_type" in result:
            self.saw(frame | {"id": told.request}, result)

    def saw(self, frame: Frame, result: Frame) -> None:
        self.record.wire(frame)
        for told in self.told:
            if told.stream == result.get("stream_id") or told.request == frame.get("id"):
                told.take(result, time.monotonic())

    def resumed(self, asked: list[Frame], found: list[Frame]) -> None:
        for position, one in zip(asked, found, strict=False):
            recovered, reason = one["recovered"], one["reason"] or ""
            seq = position["last_seq"]
            self.record.resumed(one["stream_id"], one["epoch"], seq, recovered=recovered, reason=reason)

    def lost_a_socket(self, code: int, reason: str) -> None:
        self.record.closed(code, reason)
        for told in self.told:
            if told.stream and told.end is None:
                told.was_cut()

    # ---- talking

    async def hear(self, told: Told) -> Told:
        """Raises LibraryGaveUp, GaveUp."""
        try:
            async with asyncio.timeout(self._patience_seconds):
                while not await self._heard(told):
                    pass
        except TimeoutError:
            raise GaveUp(f"{self.name}: no end of {told.marker} in {self._patience_seconds} s") from None
        return told

    async def _heard(self, told: Told) -> bool:
        """False: it was refused for about as long as the application waits at a time, and is asked for again."""
        client, asked_at = await self.client(), time.monotonic()
        try:
            stream = await client.stream("persona.chat_stream", told.params, ACCEPT_SECONDS)
            text = await stream.text()
        except StreamFailed as failure:
            if told.end is None:
                raise self._gave_up(told, failure) from failure
            return True
        except CallFailed as error:
            if not error.retryable:
                self.refuse(told, error.code)
                return True
            if time.monotonic() - asked_at < ACCEPT_SECONDS - LONGEST_PAUSE_SECONDS:
                raise self._gave_up(told, error) from error
            return False
        except TRANSPORT_ERRORS as failure:
            raise self._gave_up(told, failure) from failure
        if text != told.text:
            raise AssertionError(f"the application got {text!r}, over the wire came {told.text!r}")
        return True

    def _gave_up(self, told: Told, failure: Exception) -> LibraryGaveUp:
        self.record.refused(told.request, 0)
        return LibraryGaveUp(f"{told.marker} at position {told.last_seq}: {type(failure).__name__}: {failure}")

    async def client(self) -> Client:
        """The one client of this player's life. An application may have to wait for its first socket: nothing was
        begun then."""
        async with self._connecting:
            while self._client is None:
                client = Client(self._urls, self._open_recording, reconnect=self._reconnect)
                try:
                    await client.start()
                except TRANSPORT_ERRORS:
                    await client.close()
                    await asyncio.sleep(self._chance.uniform(0, 0.5))
                else:
                    self._client = client
            return self._client

    async def _open_recording(self, url: str) -> RecordingSocket:
        return RecordingSocket(await self._opened(url), self)

    async def cancel(self, told: Told) -> Frame:
        """Raises LibraryGaveUp, TimeoutError."""
        self.record.cancelled(told.stream)
        try:
            client = await self.client()
            return {"result": await client.call("stream.cancel", {"stream_id": told.stream}, CANCEL_SECONDS)}
        except CallFailed as error:
            return {"error": {"code": error.code}}
        except ClientError as failure:
            raise self._gave_up(told, failure) from failure

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()
