"""What is known of a player's memories before they are searched, kept for a while: who speaks in them, how many they
are, which words are in too many of them.

The first question of a player to a process waits for it. Afterwards it is asked for again behind the replies, which go
on with what is known: being minutes late costs a little quality or time, nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Protocol

from pmcp_common.clock import Clock
from pmcp_memory.database import surviving
from pmcp_memory.recall_store import Viewer, Visible

log = logging.getLogger(__name__)

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
        self._asking: dict[Hashable, asyncio.Task[None]] = {}

    async def of(self, viewer: Viewer) -> Visible:
        kept = self._kept.get(viewer)
        if kept is None:
            return await self._describe(viewer)
        if self._clock.monotonic() >= kept[0]:
            self._ask_behind(viewer, lambda: self._describe(viewer))
        return kept[1]

    async def common_words(self, memories: int) -> Sequence[str]:
        """Stems that would bring more than `MAX_MATCHES` of so many memories; none where the memories are few."""
        if memories <= MAX_MATCHES:
            return ()
        shares = await self._known_shares()
        return [word for word, share in shares.items() if share * memories > MAX_MATCHES]

    async def frequent_words(self) -> Sequence[str]:
        """Stems that at least one memory in a hundred says, the most frequent last."""
        shares = await self._known_shares()
        return sorted(shares, key=lambda word: (shares[word], word))

    async def close(self) -> None:
        """Nothing is asked for behind the replies any more."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _describe(self, viewer: Viewer) -> Visible:
        visible = await self._source.describe(viewer)
        seconds = LARGE_KEPT_SECONDS if visible.memories >= LARGE_MEMORIES else KEPT_SECONDS
        self._kept[viewer] = (self._clock.monotonic() + seconds, visible)
        self._kept.move_to_end(viewer)
        if len(self._kept) > MAX_VIEWERS:
            self._kept.popitem(last=False)
        return visible

    async def _known_shares(self) -> Mapping[str, float]:
        if self._shares is None:
            return await self._read_shares()
        if self._clock.monotonic() >= self._shares[0]:
            self._ask_behind("shares", self._read_shares)
        return self._shares[1]

    async def _read_shares(self) -> Mapping[str, float]:
        shares = await self._source.word_shares()
        self._shares = (self._clock.monotonic() + LARGE_KEPT_SECONDS, shares)
        return shares

    def _ask_behind(self, what: Hashable, ask: Callable[[], Awaitable[object]]) -> None:
        if what not in self._asking:
            self._asking[what] = asyncio.create_task(self._ask(what, ask))

    async def _ask(self, what: Hashable, ask: Callable[[], Awaitable[object]]) -> None:
        """A failure leaves what is known, and the next question tries again."""
        try:
            with surviving(log, "outlook not renewed"):
                await ask()
        finally:
            del self._asking[what]
