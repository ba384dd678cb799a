"""A client that talks, is cut off, comes back by itself and records every frame it sees.

It speaks the protocol by hand, so that what is recorded is what came over the wire. Above it: `crowd`, `tests/faults`.
Below it: one socket at a time, to any of several gateways. Rule: it never hides what it saw, and gives up only after
`patience_seconds`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from bench.soak.link import Link, Lost, open_socket
from bench.soak.told import Frame, Told
from pmcp_common.contracts.errors import BY_CODE, SESSION_EXPIRED, SESSION_REFUSED
from pmcp_common.contracts.frames import START
from pmcp_common.testing.history import Recorder

FIRST_BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 1.0
CALL_SECONDS = 10.0
READ_PAUSE_SECONDS = 0.1
GONE = frozenset({SESSION_EXPIRED.code, SESSION_REFUSED.code})


class Way(StrEnum):
    """How a cut stream is taken up again."""

    REPEAT = "repeat"
    """The same request under the same key: replayed from the beginning, then live."""
    READ = "read"
    """`stream.read` after the last position, until the end."""
    RESUME = "resume"
    """`session.resume` with the last position: what was missed, then live."""
    LIBRARY = "library"
    """By `pmcp_client`, unasked."""


class GaveUp(Exception):
    """No end within the player's patience: the history shows a request that never ended."""


@dataclass(frozen=True, slots=True)
class Plug:
    """Where an open socket goes to, and from which port of this machine: so a proxy knows one player's from others'."""

    url: str
    port: int


class Player:
    """One client for its whole life, over all of its sockets. `chance` decides where it comes back."""

    def __init__(
        self,
        recorder: Recorder,
        urls: Sequence[str],
        name: str,
        *,
        chance: random.Random | None = None,
        way: Way = Way.REPEAT,
        patience_seconds: float = 90.0,
        player: str | None = None,
        tenant: str = "local",
    ) -> None:
        self.name = name
        self.player = player or name
        self.record = recorder.client(name, tenant=tenant, player=self.player)
        self.told: list[Told] = []
        self._urls = list(urls)
        self._chance = chance or random.Random(name)
        self._way = way
        self._patience_seconds = patience_seconds
        self._numbers = itertools.count(1)
        self._link: Link | None = None
        self._reader: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._session: dict[str, str] | None = None
        self.plug: Plug | None = None
        """Of the newest socket."""
        self._door = self._chance.randrange(len(self._urls))

    # ---- talking

    async def say(self, words: str = "Tell me more.", *, key: str | None = None, **params: Any) -> Told:
        """The message and its whole reply. Raises GaveUp."""
        return await self.hear(self.begin(words, key=key, **params))

    def begin(
        self, words: str = "Tell me more.", *, key: str | None = None, marker: str | None = None, **params: Any
    ) -> Told:
        """The message as it will be sent by `hear`, noted as sent. `marker`: for the same message by several."""
        number = str(next(self._numbers))
        marker = marker or f"[[{self.name}.{number}]]"
        key = key or f"{self.name}.{number}"
        body = {
            "message": f"{words} {marker}",
            "persona_id": "aria",
            "player_id": self.player,
            "idempotency_key": key,
            **params,
        }
        self.record.sent(number, marker, conversation=self.player, idempotency_key=key)
        told = Told(number, marker, time.monotonic(), body)
        self.told.append(told)
        return told

    async def hear(self, told: Told) -> Told:
        """Sends the message and follows its reply to the end, over as many sockets as it takes. Raises GaveUp."""
        try:
            async with asyncio.timeout(self._patience_seconds):
                while told.end is None:
                    await self._hear_some(told)
        except TimeoutError:
            raise GaveUp(f"{self.name}: no end of {told.marker} in {self._patience_seconds} s") from None
        return told

    async def _hear_some(self, told: Told) -> None:
        """As far as one socket brings it."""
        try:
            link = await self.link()
            if told.stream and self._way is Way.READ:
                await self._read_rest(link, told)
            elif told.stream in link.recovered:
                await self._hear_rest(link, told)
            else:
                await self._follow(link, told)
        except Lost:
            if told.stream:
                told.was_cut()

    async def _follow(self, link: Link, told: Told) -> None:
        again = bool(told.stream)
        async with aclosing(link.ask(told.request, "persona.chat_stream", told.params)) as frames:
            async for frame in frames:
                result = frame.get("result") or {}
                if again and result.get("event_type") == START and result["stream_id"] == told.stream:
                    epoch = result.get("epoch", "")
                    kept = epoch == told.epoch
                    self.record.resumed(told.stream, epoch, 0, recovered=kept, reason="" if kept else "epoch_changed")
                    again = False
                if await self._refused(frame, told):
                    return
                self.record.wire(frame)
                told.take(result, time.monotonic())
                if told.end is not None:
                    return

    async def _refused(self, frame: Frame, told: Told) -> bool:
        """True: not accepted now, but the same request may be later; after the pause the server asked for."""
        error, result = frame.get("error"), frame.get("result") or {}
        if not error or (told.stream and "seq" in result):
            return False
        told.refused(error)
        row = BY_CODE.get(error["code"])
        if row is None or not row.retryable:
            if told.stream:
                return False
            self.refuse(told, error["code"])
            return True
        await self.pause_after(error.get("data") or {})
        return True

    def refuse(self, told: Told, code: int) -> None:
        """Not now and not later."""
        self.record.refused(told.request, code)
        told.end, told.ended_at = {"state": "refused", "code": code}, time.monotonic()
        told.changed.set()

    async def pause_after(self, data: Mapping[str, Any]) -> None:
        """As long as the refusal asks for, with jitter."""
        await asyncio.sleep(min(2.0, float(data.get("retry_after", 0.5))) * self._chance.uniform(0.5, 1.0))

    async def _hear_rest(self, link: Link, told: Told) -> None:
        async with aclosing(link.rest_of(told.stream)) as frames:
            async for frame in frames:
                self.record.wire(frame)
                told.take(frame["params"], time.monotonic())
                if told.end is not None:
                    return

    async def _read_rest(self, link: Link, told: Told) -> None:
        self.record.resumed(told.stream, told.epoch, told.last_seq, recovered=True)
        while told.end is None:
            params = {"stream_id": told.stream, "epoch": told.epoch, "after_seq": told.last_seq, "limit": 1000}
            answer = await self.call("stream.read", params, link=link)
            if answer.get("error"):
                self._follow_epoch(told, answer["error"].get("data") or {})
                await asyncio.sleep(0.5)
                continue
            for event in answer["result"]["events"]:
                self.record.wire({"method": "stream.event", "params": event})
                told.take(event, time.monotonic())
            await asyncio.sleep(READ_PAUSE_SECONDS)

    def _follow_epoch(self, told: Told, data: Mapping[str, Any]) -> None:
        """The server lost its data: the reply is read anew."""
        if data.get("reason") == "epoch_changed":
            self.record.resumed(told.stream, data["epoch"], 0, recovered=False, reason="epoch_changed")
            told.begin_anew(data["epoch"], time.monotonic())

    async def call(self, method: str, params: Mapping[str, Any], *, link: Link | None = None) -> Frame:
        """One answer. Raises Lost, TimeoutError."""
        link = link or await self.link()
        async with (
            asyncio.timeout(CALL_SECONDS),
            aclosing(link.ask(f"call-{next(self._numbers)}", method, params)) as frames,
        ):
            return await anext(frames)

    async def cancel(self, told: Told) -> Frame:
        self.record.cancelled(told.stream)
        return await self.call("stream.cancel", {"stream_id": told.stream})

    async def cancel_surely(self, told: Told) -> None:
        """Asked again until it was answered or the reply has ended."""
        while told.end is None:
            try:
                answer = await self.cancel(told)
            except (Lost, TimeoutError):
                continue
            if "error" not in answer:
                return
            await asyncio.sleep(0.2)

    # ---- the socket

    async def link(self) -> Link:
        """The open socket; a new one, with growing pauses, when the last one is gone."""
        async with self._connecting:
            backoff = FIRST_BACKOFF_SECONDS
            while self._link is None or self._link.lost:
                await self._drop()
                self._door = (self._door + 1) % len(self._urls)
                try:
                    await self._open(self._urls[self._door])
                except (OSError, TimeoutError, InvalidHandshake, InvalidMessage, ConnectionClosed):
                    await asyncio.sleep(self._chance.uniform(0, backoff))
                    backoff = min(MAX_BACKOFF_SECONDS, backoff * 2)
            return self._link

    def reconnecting(self) -> None:
        """An attempt to connect begins; the last one of them is the one that worked."""
        for told in self.told:
            told.is_connecting()

    async def _opened(self, url: str) -> ClientConnection:
        self.reconnecting()
        socket = await open_socket(url)
        self.plug = Plug(url, socket.local_address[1])
        return socket

    async def _open(self, url: str) -> None:
        socket = await self._opened(url)
        link = Link(socket, self.record)
        self._reader = asyncio.create_task(link.read(), name=f"reader of {self.name}")
        if self._way is Way.RESUME:
            try:
                await self._take_session(link)
            except (Lost, TimeoutError):
                link.lost = True
        self._link = link

    async def _take_session(self, link: Link) -> None:
        """Resumed where there is one, else opened. Raises Lost, TimeoutError."""
        cut = [told for told in self.told if told.stream and told.end is None]
        if self._session is not None:
            positions = [{"stream_id": one.stream, "epoch": one.epoch, "last_seq": one.last_seq} for one in cut]
            answer = await self.call("session.resume", {**self._session, "streams": positions}, link=link)
            if "error" not in answer:
                self._keep_session(answer["result"])
                self._note_recoveries(link, cut, answer["result"]["streams"])
                return
            if answer["error"]["code"] in GONE:  # the gateway closes this socket; the next one opens a session
                self._session = None
                raise Lost
        answer = await self.call("session.open", {}, link=link)
        if "error" in answer:
            raise Lost
        self._keep_session(answer["result"])

    def _keep_session(self, result: Frame) -> None:
        self._session = {"session_id": result["session_id"], "resume_token": result["resume_token"]}

    def _note_recoveries(self, link: Link, cut: Sequence[Told], recoveries: Sequence[Frame]) -> None:
        for told, found in zip(cut, recoveries, strict=True):
            recovered, reason = found["recovered"], found["reason"] or ""
            self.record.resumed(told.stream, found["epoch"], told.last_seq, recovered=recovered, reason=reason)
            if recovered:
                link.recovered.add(told.stream)

    async def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
            self._reader = None

    async def leave(self) -> None:
        """Goes on purpose; it will not be there for ends that are still to come."""
        self.record.left()
        await self._drop()

    async def hang_up(self) -> None:
        """Closes the socket; what is heard next comes over another one."""
        await self._drop()
