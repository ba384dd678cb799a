"""The clients of a soak: each a new player every few messages, all at once, until enough streams were told.

Above it: `bench.soak.__main__`. Below it: `player`. Rule: what a client does is drawn from the run's seed, not from
what happens to it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bench.soak.joining import player
from bench.soak.library_player import LibraryGaveUp
from bench.soak.player import GaveUp, Player, Way
from bench.soak.told import Told
from pmcp_common.testing.history import Recorder

MESSAGES_OF_A_PLAYER = (2, 5)
THINK_SECONDS = (0.0, 1.0)
CANCEL_SHARE = 0.04
TWICE_SHARE = 0.04
LEAVE_SHARE = 0.02


@dataclass
class Crowd:
    recorder: Recorder
    urls: Sequence[str]
    seed: int
    told: list[Told] = field(default_factory=list)
    gave_up: int = 0
    """Messages without an end within a player's patience."""
    library_gave_up: list[str] = field(default_factory=list)
    """What `pmcp_client` told applications that they shall never see, in words."""

    @property
    def ended(self) -> int:
        """Streams that were accepted and came to their end."""
        return sum(1 for one in self.told if one.stream and one.end is not None)

    @property
    def streams(self) -> list[str]:
        """Accepted so far."""
        return [one.stream for one in self.told if one.stream]

    @asynccontextmanager
    async def talking(self, count: int) -> AsyncIterator[None]:
        """`count` clients talk inside the block; at its end each finishes what it has begun."""
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(self._seat(number, over.is_set))
            try:
                yield
            finally:
                over.set()

    async def _seat(self, number: int, over: Callable[[], bool]) -> None:
        """One player after the other."""
        chance = random.Random(f"{self.seed}.{number}")
        generation = 0
        while not over():
            generation += 1
            name, way = f"p{number}x{generation}", chance.choice(list(Way))
            async with player(self.recorder, self.urls, name, chance=chance, way=way, patience_seconds=150.0) as one:
                for _ in range(chance.randint(*MESSAGES_OF_A_PLAYER)):
                    if over() or not await self._one_message(one, chance):
                        break
                    await asyncio.sleep(chance.uniform(*THINK_SECONDS))

    async def _one_message(self, one: Player, chance: random.Random) -> bool:
        """False: this player talks no more."""
        draw, point = chance.random(), chance.randrange(20)
        try:
            if draw < CANCEL_SHARE:
                await self._cancel_one(one, point)
            elif draw < CANCEL_SHARE + TWICE_SHARE:
                await self._say_twice(one)
            elif draw < CANCEL_SHARE + TWICE_SHARE + LEAVE_SHARE:
                await self._leave_one(one, point)
                return False
            else:
                await self._say(one)
        except LibraryGaveUp as told:
            self.library_gave_up.append(str(told))
            return False
        except GaveUp:
            self.gave_up += 1
            return False
        return True

    def _begin(self, one: Player) -> Told:
        told = one.begin()
        self.told.append(told)
        return told

    async def _say(self, one: Player) -> None:
        await one.hear(self._begin(one))

    async def _say_twice(self, one: Player) -> None:
        """The second message while the first is answered; only then is it certain which comes first."""
        first = self._begin(one)
        hearing = asyncio.create_task(one.hear(first))
        await _reached(first, 0, hearing)
        try:
            await self._say(one)
        finally:
            await hearing

    async def _cancel_one(self, one: Player, point: int) -> None:
        told = self._begin(one)
        hearing = asyncio.create_task(one.hear(told))
        await _reached(told, point, hearing)
        try:
            if told.end is None and told.stream:
                await one.cancel_surely(told)
        finally:
            await hearing

    async def _leave_one(self, one: Player, point: int) -> None:
        told = self._begin(one)
        hearing = asyncio.create_task(one.hear(told))
        await _reached(told, point, hearing)
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        await one.leave()


async def _reached(told: Told, point: int, hearing: asyncio.Task[Told]) -> None:
    """Until so much was shown, or the end."""
    waiting = asyncio.create_task(told.until_shown(point, 600.0))
    await asyncio.wait({waiting, hearing}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
