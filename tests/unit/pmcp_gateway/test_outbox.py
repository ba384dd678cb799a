from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson

from pmcp_common.contracts.jobs import Delta
from pmcp_gateway.outbox import MAX_MERGED_BYTES, Outbox, OutboxLimits

from .conftest import SteppedClock


class Renderer:
    def render(self, deltas: list[Delta], timestamp: str) -> bytes:
        return orjson.dumps([deltas[0].seq, deltas[-1].seq, "".join(delta.text for delta in deltas)])


class Reader:
    """The client's end: takes frames while `open` is set."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.waiting = asyncio.Event()
        self.got: asyncio.Queue[str] = asyncio.Queue()
        self.cut = 0

    async def send(self, text: str) -> None:
        self.waiting.set()
        await self.open.wait()
        self.got.put_nowait(text)

    def too_slow(self) -> None:
        self.cut += 1

    async def next(self) -> str:
        async with asyncio.timeout(5):
            return await self.got.get()


@asynccontextmanager
async def writing(outbox: Outbox) -> AsyncIterator[None]:
    task = asyncio.create_task(outbox.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def delta(seq: int, text: str = "x", attempt: int = 1) -> Delta:
    return Delta("s", seq, attempt, text)


async def test_frames_leave_in_order() -> None:
    reader = Reader()
    outbox = Outbox(reader.send, reader.too_slow, SteppedClock())
    async with writing(outbox):
        for number in range(5):
            outbox.put(str(number).encode())
        assert [await reader.next() for _ in range(5)] == list("01234")


async def test_a_chunk_alone_leaves_at_once_and_unmerged() -> None:
    reader, renderer = Reader(), Renderer()
    outbox = Outbox(reader.send, reader.too_slow, SteppedClock())
    async with writing(outbox):
        for seq in (1, 2):
            outbox.put_chunk(renderer, delta(seq))
            assert await reader.next() == f'[{seq},{seq},"x"]'


async def test_chunks_that_wait_together_are_merged_per_stream_before_their_end() -> None:
    reader, one, two = Reader(), Renderer(), Renderer()
    outbox = Outbox(reader.send, reader.too_slow, SteppedClock())
    reader.open.clear()
    async with writing(outbox):
        outbox.put(b"first")
        async with asyncio.timeout(5):
            await reader.waiting.wait()
        for seq in (1, 2, 3):
            outbox.put_chunk(one, delta(seq, "a"))
            outbox.put_chunk(two, delta(seq, "b"))
        outbox.put_chunk(one, delta(4, "c", attempt=2))
        outbox.put(b"end of one")
        reader.open.set()
        frames = [await reader.next() for _ in range(5)]
    assert frames == ["first", '[1,3,"aaa"]', '[1,3,"bbb"]', '[4,4,"c"]', "end of one"]


async def test_a_merged_frame_stays_small_enough_for_clients() -> None:
    reader, renderer = Reader(), Renderer()
    outbox = Outbox(reader.send, reader.too_slow, SteppedClock())
    for seq in range(1, 11):
        outbox.put_chunk(renderer, delta(seq, "x" * 20_000))
    async with writing(outbox):
        assert len(await reader.next()) < MAX_MERGED_BYTES


async def test_more_bytes_than_the_bound_cut_the_client_off_once() -> None:
    reader, renderer = Reader(), Renderer()
    outbox = Outbox(reader.send, reader.too_slow, SteppedClock(), OutboxLimits(max_bytes=10_000))
    outbox.put(b"x" * 20_000)  # one frame alone may be large
    assert not outbox.closed
    outbox.put_chunk(renderer, delta(1))
    outbox.put(b"x")
    assert (outbox.closed, reader.cut) == (True, 1)


async def test_merged_chunks_count_against_the_bound() -> None:
    reader, renderer = Reader(), Renderer()
    outbox = Outbox(reader.send, reader.too_slow, SteppedClock(), OutboxLimits(max_bytes=10_000))
    outbox.put(b"x")
    for seq in range(1, 100):
        outbox.put_chunk(renderer, delta(seq, "x" * 100))
    assert (outbox.closed, reader.cut) == (True, 1)


async def test_a_frame_nobody_takes_for_too_long_cuts_the_client_off() -> None:
    reader, clock = Reader(), SteppedClock()
    outbox = Outbox(reader.send, reader.too_slow, clock, OutboxLimits(send_seconds=10))
    reader.open.clear()
    async with writing(outbox):
        outbox.put(b"x")
        async with asyncio.timeout(5):
            await reader.waiting.wait()
        clock.seconds += 9
        outbox.sweep()
        assert reader.cut == 0
        clock.seconds += 2
        outbox.sweep()
        assert reader.cut == 1


async def test_an_idle_outbox_is_never_too_slow() -> None:
    reader, clock = Reader(), SteppedClock()
    outbox = Outbox(reader.send, reader.too_slow, clock)
    async with writing(outbox):
        outbox.put(b"x")
        await reader.next()
        clock.seconds += 1000
        outbox.sweep()
    assert reader.cut == 0
