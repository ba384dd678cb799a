"""Who speaks in what a player may see, kept for a while: their names are taken out of a question before it is embedded.

Being a minute late costs a little quality once, nothing else; asking each time would cost each reply a round trip.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from pmcp_common.clock import Clock
from pmcp_memory.recall_store import Viewer

KEPT_SECONDS = 60.0
MAX_VIEWERS = 4096


class ListSpeakers(Protocol):
    async def speakers(self, viewer: Viewer) -> tuple[str, ...]: ...


class KnownSpeakers:
    def __init__(self, source: ListSpeakers, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._kept: OrderedDict[Viewer, tuple[float, tuple[str, ...]]] = OrderedDict()

    async def of(self, viewer: Viewer) -> tuple[str, ...]:
        now = self._clock.monotonic()
        known = self._kept.get(viewer)
        if known is not None and now - known[0] < KEPT_SECONDS:
            return known[1]
        names = await self._source.speakers(viewer)
        self._kept[viewer] = (now, names)
        self._kept.move_to_end(viewer)
        if len(self._kept) > MAX_VIEWERS:
            self._kept.popitem(last=False)
        return names
