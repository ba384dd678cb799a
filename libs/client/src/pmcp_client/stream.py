"""One reply as it arrives: checks that nothing is missing, repeated or altered, and hands out its text.

Below is `connection`, which feeds frames in; above is the caller, who iterates. A merged frame covers the positions
`first_seq`..`seq`; positions are contiguous from 1 and the end frame takes the next one. Delivery is at least once:
what was received before is dropped, what is missing is asked for again. A server that lost its data begins the reply
anew, under another epoch; then `Restarted` is handed out before the new text.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum
from typing import Any

from pmcp_client.failures import ClientError, StreamBroken, StreamFailed, failure_of
from pmcp_common.contracts.frames import CANCELLED, CHUNK, COMPLETE, ERROR, START

MAX_WAITING_FRAMES = 20_000
"""More than the longest reply has frames; only a caller that never reads gets here."""
MAX_GAPS = 3
"""A stream that is missing something again after so many resumes is broken."""
ENDS = (COMPLETE, CANCELLED, ERROR)

Frame = dict[str, Any]
Cancel = Callable[[str, int | None], Awaitable[Any]]


class Fed(Enum):
    GOES_ON = "goes on"
    ENDED = "ended"
    """No more will come."""
    GAP = "gap"
    """Something before this frame is missing: resume the stream after `received_seq`."""


class Restarted(str):
    """Handed out in place of text, and empty: the server lost what it had made, and the reply begins anew.

    What was handed out before it is not part of the reply; an application that shows text as it comes clears it.
    """

    __slots__ = ()


class ReplyStream:
    """`async for text in stream`, once; then `terminal` is the end frame's `result`.

    Iteration raises StreamFailed when the reply ended with an error, StreamBroken when positions or the hash do not
    fit, StreamNotResumable and ConnectionLost when the socket was lost for good. A cancelled reply ends normally.
    """

    def __init__(self, cancel: Cancel, start: Frame) -> None:
        self.start = start
        """`result` of the stream_start frame."""
        self.stream_id: str = start.get("stream_id", "")
        self.message_id: str = start.get("message_id", "")
        self.epoch: str = start.get("epoch", "")
        self.last_seq = 0
        """Position of the newest frame handed out."""
        self.received_seq = 0
        """Position of the newest frame that arrived; a resume goes on after it."""
        self.restarts = 0
        """How often the reply began anew, so far as it was read."""
        self.request: tuple[str, Frame] | None = None
        """Method and parameters it answers; under the same idempotency key they bring it again."""
        self.terminal: Frame | None = None
        self._cancel = cancel
        self._frames: asyncio.Queue[Frame | ClientError] = asyncio.Queue()
        self._digest = hashlib.sha256()
        self._gaps = 0
        self._received_chars = 0

    def feed(self, frame: Frame) -> Fed:
        """Called by the connection with each frame of the stream."""
        if self._frames.qsize() >= MAX_WAITING_FRAMES:
            self.break_off(StreamBroken(f"{MAX_WAITING_FRAMES} frames wait unread"))
            return Fed.ENDED
        result = frame.get("result")
        if not isinstance(result, dict):
            result = {}
        kind = result.get("event_type", ERROR)
        if kind == START:
            self._begin_again(result)
            return Fed.GOES_ON
        last = result.get("seq")
        first = result.get("first_seq", last)
        if isinstance(first, int) and isinstance(last, int) and kind in (CHUNK, *ENDS):
            if last <= self.received_seq:
                return Fed.GOES_ON
            if first <= self.received_seq and kind == CHUNK:
                frame = self._unseen_part(frame, result)
            elif first != self.received_seq + 1:
                return self._miss(first, last)
            self.received_seq = last
            self._received_chars += len(frame["result"].get("chunk", ""))
        self._frames.put_nowait(frame)
        return Fed.ENDED if kind in ENDS else Fed.GOES_ON

    def _begin_again(self, start: Frame) -> None:
        """The same reply from its first position: what is known of it is dropped. Or a new one in its place."""
        if (start.get("stream_id", ""), start.get("epoch", "")) == (self.stream_id, self.epoch):
            return
        self.stream_id, self.epoch = start.get("stream_id", ""), start.get("epoch", "")
        self.message_id = start.get("message_id") or self.message_id
        self.received_seq = self._received_chars = 0
        self._frames.put_nowait({"result": start})

    def _unseen_part(self, frame: Frame, result: Frame) -> Frame:
        """Positions are joined otherwise than the first time: only what is behind the known text is new."""
        text, data = str(result.get("chunk", "")), result.get("data")
        total = data.get("total_length") if isinstance(data, dict) else None
        unseen = total - self._received_chars if isinstance(total, int) else 0
        part = text[len(text) - unseen :] if 0 < unseen <= len(text) else ""
        return {**frame, "result": {**result, "first_seq": self.received_seq + 1, "chunk": part}}

    def _miss(self, first: int, last: int) -> Fed:
        self._gaps += 1
        if self._gaps <= MAX_GAPS:
            return Fed.GAP
        expected = self.received_seq + 1
        self.break_off(StreamBroken(f"position {expected} expected in stream {self.stream_id}, got {first}..{last}"))
        return Fed.ENDED

    def break_off(self, failure: ClientError) -> None:
        """Called by the connection when no more frames can come."""
        self._frames.put_nowait(failure)

    async def cancel(self, heard_chars: int | None = None) -> None:
        """Ask for an early end; the iteration then ends with what was made so far. Repeating it is harmless.

        `heard_chars`: how much of the text reached the person; the rest does not become memory.
        """
        await self._cancel(self.stream_id, heard_chars)

    async def text(self) -> str:
        """The whole reply (or what is left of it), without what a restart made void."""
        pieces: list[str] = []
        async for piece in self:
            if isinstance(piece, Restarted):
                pieces.clear()
            pieces.append(piece)
        return "".join(pieces)

    async def __aiter__(self) -> AsyncIterator[str]:
        while self.terminal is None:
            frame = await self._frames.get()
            if isinstance(frame, ClientError):
                raise frame
            text = self._take(frame)
            if text is not None:
                yield text

    def _take(self, frame: Frame) -> str | None:
        result = frame.get("result")
        if not isinstance(result, dict):
            raise self._failed(frame, {})
        kind = result.get("event_type")
        if kind == START:
            return self._take_restart(result)
        if kind == CHUNK:
            return self._take_chunk(result)
        if kind in ENDS:
            self._take_end(result)
        if kind == ERROR:
            raise self._failed(frame, result)
        if kind not in ENDS:
            raise StreamBroken(f"unknown event type in stream {self.stream_id}")
        return None

    def _take_restart(self, start: Frame) -> str | None:
        shown, self.last_seq = self.last_seq > 0, 0
        self._digest = hashlib.sha256()
        self.start = {**self.start, **start}
        self.restarts += 1
        return Restarted() if shown else None

    def _take_chunk(self, result: Frame) -> str:
        text = result.get("chunk")
        if not isinstance(text, str):
            raise StreamBroken(f"a chunk without text in stream {self.stream_id}")
        self._advance(result)
        self._digest.update(text.encode())
        return text

    def _take_end(self, result: Frame) -> None:
        self.terminal = result
        self._advance(result)
        # An end without a hash: the gateway had to end a stream of which it had not seen all.
        if "sha256" in result and result["sha256"] != self._digest.hexdigest():
            raise StreamBroken(f"the hash of stream {self.stream_id} differs from its text")
        if "sha256" not in result and result.get("event_type") != ERROR:
            raise StreamBroken(f"the end of stream {self.stream_id} has no hash")

    def _advance(self, result: Frame) -> None:
        last = result.get("seq")
        first = result.get("first_seq", last)
        if not isinstance(last, int) or first != self.last_seq + 1 or last < first:
            raise StreamBroken(f"position {self.last_seq + 1} expected in stream {self.stream_id}, got {first}..{last}")
        self.last_seq = last

    def _failed(self, frame: Frame, result: Frame) -> StreamFailed:
        self.terminal = result
        return StreamFailed(failure_of(frame.get("error")), result)
