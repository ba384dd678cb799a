"""The events of streams, written into the history while Redis has them: an ended one is let go after ten minutes.

Above it: `holdings`, `bench.soak.__main__`. Below it: Redis, and the lives of its data that were put aside. Rule: an
event is recorded once, however often its stream is read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from bench.soak.fault_stack import TENANT
from bench.soak.lives import opened
from pmcp_common.contracts import keys
from pmcp_common.testing.history import Recorder
from pmcp_common.testing.history_entries import EventHeld

STREAMS_AT_ONCE = 200
ANSWER_SECONDS = 2.0
"""While faults go on: a server that is silent is asked another time."""


class Harvest:
    """`lives`: of Redis' data that were put aside since this history began, the oldest first; they may still grow."""

    def __init__(self, recorder: Recorder, lives: Sequence[Path]) -> None:
        self.recorder = recorder
        self._lives = lives
        self._taken: dict[tuple[str, str], int] = {}
        """(stream, epoch) → its last position that is recorded."""
        self._ended: set[str] = set()

    async def gather_ended(self, url: str, streams: Collection[str]) -> None:
        """What came to its end since the last time, as far as the server answers."""
        living = [stream for stream in streams if stream not in self._ended]
        try:
            async with Redis.from_url(url, socket_timeout=ANSWER_SECONDS) as redis:
                async for events in held_streams(redis, living):
                    if events[-1].state is not None:
                        self._take(events)
        except (OSError, RedisError):
            return

    async def gather_all(self, url: str, streams: Collection[str]) -> None:
        """Whatever was ever there, and is not recorded yet. Nothing runs any more."""
        for life in self._lives:
            async with opened(life) as redis:
                await self._take_all(redis, streams)
        async with Redis.from_url(url) as redis:
            await self._take_all(redis, streams)
        self.recorder.events(())

    async def _take_all(self, redis: Redis, streams: Collection[str]) -> None:
        async for events in held_streams(redis, streams):
            self._take(events)

    def _take(self, events: Sequence[EventHeld]) -> None:
        stream, epoch = events[0].stream, events[0].epoch
        known = self._taken.get((stream, epoch), 0)
        for event in events:
            if event.seq > known:
                self.recorder.record(event)
        self._taken[stream, epoch] = events[-1].seq
        if events[-1].state is not None:
            self._ended.add(stream)


async def held_streams(redis: Redis, streams: Collection[str]) -> AsyncIterator[list[EventHeld]]:
    """All events of each of these streams that this life of the data has, none of them empty."""
    names = list(streams)
    for start in range(0, len(names), STREAMS_AT_ONCE):
        some = names[start : start + STREAMS_AT_ONCE]
        asking = redis.pipeline(transaction=False)
        for stream in some:
            asking.hget(keys.job(TENANT, stream), "epoch")
            asking.xrange(keys.tokens(TENANT, stream))
        answers = await asking.execute()
        for stream, epoch, events in zip(some, answers[::2], answers[1::2], strict=True):
            if epoch is not None and events:
                yield [_event(stream, epoch.decode(), orjson.loads(fields[b"e"])) for _, fields in events]


def _event(stream: str, epoch: str, event: dict[str, object]) -> EventHeld:
    is_end = event["kind"] == "end"
    return EventHeld(
        TENANT,
        stream,
        epoch,
        int(str(event["seq"])),
        str(event["text"]),
        str(event["state"]) if is_end else None,
        str(event["sha256"]) if is_end else "",
    )
