"""What is known of a player's memories before they are searched, kept for a while: who speaks in them, how many they
are, which words are in too many of them.

Being minutes late costs a little quality or time, nothing else; asking each time would cost each reply a round trip.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

from pmcp_common.clock import Clock
from pmcp_memory.recall_store import Viewer, Visible

KEPT_SECONDS = 60.0
LARGE_KEPT_SECONDS = 600.0
"""Of a large memory, whose count takes some ten milliseconds and hardly changes."""
LARGE_MEMORIES = 10_000
MAX_VIEWERS = 4096
MAX_MATCHES = 3_000
"""Memories that one word may bring into the search: ranking so many takes some 5 ms."""


class DescribeVisible(Protocol):
    async def describe(self, viewer: Viewer) -> Visible: ...

    async def word_shares(self) -> Mapping[str, float]: ...


class Outlook:
    def __init__(self, source: DescribeVisible, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._kept: OrderedDict[Viewer, tuple[float, Visible]] = OrderedDict()
        self._shares: tuple[float, Mapping[str, float]] | None = None

    async def of(self, viewer: Viewer) -> Visible:
        now = self._clock.monotonic()
        kept = self._kept.get(viewer)
        if kept is not None and now < kept[0]:
            return kept[1]
        visible = await self._source.describe(viewer)
        seconds = LARGE_KEPT_SECONDS if visible.memories >= LARGE_MEMORIES else KEPT_SECONDS
        self._kept[viewer] = (now + seconds, visible)
        self._kept.move_to_end(viewer)
        if len(self._kept) > MAX_VIEWERS:
            self._kept.popitem(last=False)
        return visible

    async def common_words(self, memories: int) -> Sequence[str]:
        """Stems that would bring more than `MAX_MATCHES` of so many memories; none where the memories are few."""
        if memories <= MAX_MATCHES:
            return ()
        now = self._clock.monotonic()
        if self._shares is None or now >= self._shares[0]:
            self._shares = (now + LARGE_KEPT_SECONDS, await self._source.word_shares())
        return [word for word, share in self._shares[1].items() if share * memories > MAX_MATCHES]
