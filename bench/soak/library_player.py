"""A player that leaves everything to `pmcp_client`: it calls, iterates, and never sees a lost socket.

What came over the wire is recorded below the library, and what the application got is held against it. Above it:
`crowd`, `tests/faults`. Rule: nothing of the library is replaced but the function that opens a socket.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, WebSocketException

from bench.soak.link import EVENT, open_socket
from bench.soak.player import GaveUp, Player
from bench.soak.told import Frame, Told
from pmcp_client.backoff import Reconnect
from pmcp_client.connection import Client
from pmcp_client.failures import CallFailed, ClientError, StreamFailed
from pmcp_client.stream import ReplyStream
from pmcp_common.contracts.frames import START

QUICK = Reconnect(first_seconds=0.1, longest_seconds=2.0)
"""Shipped are 0.5 s and 30 s: a crowd of thousands needs them, this one does not."""


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
            self._player.lost_a_socket(error.rcvd.code if error.rcvd else 1006)
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
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._client: Client | None = None
        self._replies: dict[str, ReplyStream] = {}

    # ---- what the socket tells

    def answered(self, key: str, frame: Frame) -> None:
        told = next(one for one in self.told if one.params["idempotency_key"] == key)
        result = frame.get("result") or {}
        if told.stream == result.get("stream_id") and result.get("event_type") == START and "recovered" not in result:
            # Asked for again, by its message: from the beginning, or anew.
            kept = result["epoch"] == told.epoch
            self.record.resumed(told.stream, result["epoch"], 0, recovered=kept, reason="" if kept else "epoch_changed")
        if "event_type" in result and ("seq" in result or told.stream):
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

    def lost_a_socket(self, code: int) -> None:
        self.record.closed(code)
        for told in self.told:
            if told.stream and told.end is None:
                told.was_cut()

    # ---- talking

    async def hear(self, told: Told) -> Told:
        try:
            async with asyncio.timeout(self._patience_seconds):
                while not await self._heard(told):
                    pass
        except TimeoutError:
            raise GaveUp(f"{self.name}: no end of {told.marker} in {self._patience_seconds} s") from None
        return told

    async def _heard(self, told: Told) -> bool:
        """False: to be asked again under the same key, as an application would."""
        try:
            stream = await (await self.client()).stream("persona.chat_stream", told.params, 60.0)
            self._replies[told.stream] = stream
            text = await stream.text()
        except StreamFailed:
            return True
        except CallFailed as error:
            told.refusals.append(error.code)
            if not error.retryable:
                self.refuse(told, error.code)
                return True
            told.changed.set()
            await self.pause_after(error.data)
            return False
        except (ClientError, OSError, WebSocketException):
            await self._drop()
            return False
        if text != told.text:
            raise AssertionError(f"the application got {text!r}, over the wire came {told.text!r}")
        return True

    async def client(self) -> Client:
        async with self._connecting:
            while self._client is None:
                client = Client(self._urls, self._open_recording, reconnect=QUICK)
                try:
                    await client.start()
                except (OSError, TimeoutError, WebSocketException, ClientError):
                    await client.close()
                    await asyncio.sleep(self._chance.uniform(0, 0.5))
                else:
                    self._client = client
            return self._client

    async def _open_recording(self, url: str) -> RecordingSocket:
        self.reconnecting()
        socket = await open_socket(url)
        return RecordingSocket(socket, self)

    async def cancel(self, told: Told) -> Frame:
        self.record.cancelled(told.stream)
        try:
            return {"result": await (await self.client()).call("stream.cancel", {"stream_id": told.stream}, 10.0)}
        except CallFailed as error:
            return {"error": {"code": error.code}}

    async def cancel_surely(self, told: Told) -> None:
        while told.end is None:
            try:
                await self.cancel(told)
            except (ClientError, TimeoutError):
                await asyncio.sleep(0.2)
            else:
                return

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()
