"""What is known of a memory before it is searched is asked for now and then, not each time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from pmcp_common.contracts.errors import Unavailable
from pmcp_memory.outlook import KEPT_SECONDS, LARGE_KEPT_SECONDS, MAX_VIEWERS, Outlook
from pmcp_memory.recall_store import Viewer, Visible

ONE = Viewer("local", "aria", "p1")


class Source:
    def __init__(self, memories: int) -> None:
        self.memories = memories
        self.asked: list[Viewer] = []
        self.away = False
        self.held = asyncio.Event()
        self.held.set()
        self.shares_asked = 0

    async def describe(self, viewer: Viewer) -> Visible:
        self.asked.append(viewer)
        await self.held.wait()
        if self.away:
            raise Unavailable("The memory database is away", retry_after=1)
        return Visible(self.memories, ("Mira",))

    async def word_shares(self) -> Mapping[str, float]:
        self.shares_asked += 1
        return {"day": 0.2, "dog": 0.02}


class SetClock:
    seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds


async def test_a_small_memory_is_asked_about_once_a_minute_and_no_reply_waits_for_it() -> None:
    source, clock = Source(10), SetClock()
    outlook = Outlook(source, clock)
    assert await outlook.of(ONE) == Visible(10, ("Mira",))
    clock.seconds = KEPT_SECONDS - 1
    await outlook.of(ONE)
    assert len(source.asked) == 1
    clock.seconds, source.memories = KEPT_SECONDS + 1, 20
    source.held.clear()
    for _ in range(3):
        assert (await outlook.of(ONE)).memories == 10
    source.held.set()
    async with asyncio.timeout(5):
        while (await outlook.of(ONE)).memories == 10:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert len(source.asked) == 2


async def test_a_failure_behind_the_replies_leaves_what_is_known(caplog: pytest.LogCaptureFixture) -> None:
    source, clock = Source(10), SetClock()
    outlook = Outlook(source, clock)
    await outlook.of(ONE)
    clock.seconds, source.away = KEPT_SECONDS + 1, True
    await outlook.of(ONE)
    async with asyncio.timeout(5):
        while not caplog.records:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert (await outlook.of(ONE)).memories == 10
    await outlook.close()


async def test_frequent_words_are_ordered_by_how_often_they_are_said() -> None:
    assert list(await Outlook(Source(0), SetClock()).frequent_words()) == ["dog", "day"]


async def test_a_large_one_is_asked_about_less_often() -> None:
    source, clock = Source(50_000), SetClock()
    outlook = Outlook(source, clock)
    await outlook.of(ONE)
    clock.seconds = LARGE_KEPT_SECONDS - 1
    await outlook.of(ONE)
    assert len(source.asked) == 1


async def test_the_number_of_viewers_kept_is_bounded_and_one_is_not_taken_for_another() -> None:
    source = Source(10)
    outlook = Outlook(source, SetClock())
    for number in range(MAX_VIEWERS + 1):
        await outlook.of(Viewer("local", "aria", f"p{number}"))
    await outlook.of(Viewer("local", "aria", "p0"))
    assert len(source.asked) == MAX_VIEWERS + 2


async def test_a_word_is_too_common_when_it_would_bring_too_many_memories() -> None:
    source = Source(0)
    outlook = Outlook(source, SetClock())
    assert list(await outlook.common_words(1_000)) == []
    assert source.shares_asked == 0
    assert list(await outlook.common_words(10_000)) == []
    assert list(await outlook.common_words(20_000)) == ["day"]
    assert list(await outlook.common_words(200_000)) == ["day", "dog"]
    assert source.shares_asked == 1
