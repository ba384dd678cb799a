"""The fault proxy: bytes pass unaltered, each fault does what it says to old and new connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import uvloop

from pmcp_common.testing.fault_proxy import Direction, Fault, FaultProxy, Scope

BOUND_SECONDS = 5.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class InstantTime:
    """Sleeping takes no time here; what was slept is remembered."""

    now: float = 100.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@dataclass
class Target:
    """An echo server that remembers its connections; `mute` makes it read nothing."""

    port: int = 0
    got_eof: asyncio.Event = field(default_factory=asyncio.Event)
    got_reset: asyncio.Event = field(default_factory=asyncio.Event)
    mute: bool = False
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            if self.mute:
                await self.done.wait()
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            self.got_eof.set()
            await self.done.wait()
        except ConnectionError:
            self.got_reset.set()
        finally:
            writer.close()


@asynccontextmanager
async def echo() -> AsyncIterator[Target]:
    target = Target()
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0)
    target.port = server.sockets[0].getsockname()[1]
    async with asyncio.timeout(BOUND_SECONDS):
        yield target
        target.done.set()
        for writer in target.writers:
            writer.transport.abort()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    async with echo() as running:
        yield running


@pytest.fixture
async def proxy(target: Target) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", target.port) as running:
        yield running


@asynccontextmanager
async def dialled(proxy: FaultProxy) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def says(streams: Streams, data: bytes) -> bytes:
    streams[1].write(data)
    return await streams[0].readexactly(len(data))


async def silent(streams: Streams) -> bool:
    """Nothing arrives within many turns of the loop."""
    waiting = asyncio.ensure_future(streams[0].read(1))
    for _ in range(50):
        await asyncio.sleep(0)
    arrived = waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return not arrived


async def test_bytes_pass_unaltered_and_are_counted(proxy: FaultProxy, target: Target) -> None:
    target.done.set()
    sent = bytes(range(256)) * 2000
    async with dialled(proxy) as streams:
        assert await says(streams, sent) == sent
        await proxy.wait_until(lambda seen: seen.bytes_up == seen.bytes_down == len(sent))
        assert (proxy.statistics.accepted, proxy.statistics.open) == (1, 1)
    await proxy.wait_until(lambda seen: seen.open == 0)


async def test_the_end_of_one_direction_is_passed_on_and_the_other_goes_on(proxy: FaultProxy, target: Target) -> None:
    async with dialled(proxy) as streams:
        assert await says(streams, b"hello") == b"hello"
        streams[1].write_eof()
        await target.got_eof.wait()
        target.writers[0].write(b"last words")
        target.done.set()
        assert await streams[0].read() == b"last words"


async def test_latency_delays_each_chunk_and_keeps_the_order(target: Target) -> None:
    time = InstantTime()
    async with (
        FaultProxy("127.0.0.1", target.port, seed=7, sleep=time.sleep, monotonic=time.monotonic) as proxy,
        dialled(proxy) as streams,
    ):
        proxy.set_fault(Fault(latency_ms=200, jitter_ms=50), Direction.DOWN)
        for number in range(20):
            data = f"chunk {number};".encode()
            assert await says(streams, data) == data
    assert len(time.slept) == 20
    assert all(0.15 <= seconds <= 0.2501 for seconds in time.slept)
    assert len(set(time.slept)) > 10


async def test_a_throttled_direction_takes_the_time_its_rate_says(target: Target) -> None:
    time = InstantTime()
    async with (
        FaultProxy("127.0.0.1", target.port, sleep=time.sleep, monotonic=time.monotonic) as proxy,
        dialled(proxy) as streams,
    ):
        proxy.set_fault(Fault(bytes_per_second=1000), Direction.UP)
        assert await says(streams, b"x" * 5000) == b"x" * 5000
    assert sum(time.slept) == pytest.approx(5.0)
    assert max(time.slept) <= 0.0501


async def test_a_blackhole_accepts_and_forwards_nothing_until_healed(proxy: FaultProxy) -> None:
    async with dialled(proxy) as old:
        assert await says(old, b"before") == b"before"
        proxy.blackhole()
        old[1].write(b"held")
        async with dialled(proxy) as new:
            new[1].write(b"new")
            await proxy.wait_until(lambda seen: seen.accepted == 2)
            assert await silent(old)
            assert await silent(new)
            assert proxy.statistics.bytes_up == len(b"before")
            await proxy.heal()
            assert await new[0].readexactly(3) == b"new"
            assert await old[0].readexactly(4) == b"held"


async def test_a_blackhole_of_one_direction_leaves_the_other_open(proxy: FaultProxy) -> None:
    proxy.blackhole(Direction.DOWN)
    async with dialled(proxy) as streams:
        streams[1].write(b"heard")
        await proxy.wait_until(lambda seen: seen.bytes_up == 5)
        assert await silent(streams)
        assert proxy.statistics.bytes_down == 0
        proxy.pass_through()
        assert await streams[0].readexactly(5) == b"heard"


async def test_a_fault_reaches_only_the_connections_it_is_meant_for(proxy: FaultProxy) -> None:
    async with dialled(proxy) as old:
        await says(old, b"-")
        proxy.set_fault(Fault(cut_after_bytes=0), scope=Scope.NEW)
        assert await says(old, b"old goes on") == b"old goes on"
        async with dialled(proxy) as new:
            with pytest.raises(ConnectionError):
                await says(new, b"new is cut")
        proxy.pass_through(Scope.NEW)
        proxy.set_fault(Fault(cut_after_bytes=0), scope=Scope.EXISTING)
        async with dialled(proxy) as later:
            assert await says(later, b"passes") == b"passes"
        with pytest.raises(ConnectionError):
            await says(old, b"is cut")


async def test_refused_connections_are_refused_and_existing_ones_stay(proxy: FaultProxy) -> None:
    async with dialled(proxy) as old:
        await says(old, b"-")
        await proxy.refuse_new()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await says(old, b"still here") == b"still here"
        await proxy.heal()
        async with dialled(proxy) as new:
            assert await says(new, b"welcome") == b"welcome"


async def test_a_reset_is_seen_by_both_sides(proxy: FaultProxy, target: Target) -> None:
    async with dialled(proxy) as streams:
        await says(streams, b"-")
        assert proxy.reset_all() == 1
        with pytest.raises(ConnectionResetError):
            await streams[0].readexactly(1)
        await target.got_reset.wait()
    await proxy.wait_until(lambda seen: seen.open == 0)
    assert proxy.statistics.resets == 1


async def test_a_share_of_the_connections_is_reset_and_the_seed_decides_which(target: Target) -> None:
    counts = []
    for _ in range(2):
        async with FaultProxy("127.0.0.1", target.port, seed=3) as proxy:
            reached = [await asyncio.open_connection("127.0.0.1", proxy.port) for _ in range(12)]
            await proxy.wait_until(lambda seen: seen.open == 12)
            counts.append(proxy.reset_some(0.5))
            await proxy.wait_until(lambda seen: seen.open == 12 - counts[-1])
            for _, writer in reached:
                writer.transport.abort()
    assert counts[0] == counts[1]
    assert 0 < counts[0] < 12


async def test_one_client_is_cut_off_by_its_own_port_and_the_others_are_not(proxy: FaultProxy) -> None:
    async with dialled(proxy) as first, dialled(proxy) as second:
        await says(first, b"-")
        await says(second, b"-")
        port = first[1].get_extra_info("sockname")[1]
        assert proxy.reset_from(port)
        with pytest.raises(ConnectionResetError):
            await first[0].readexactly(1)
        assert await says(second, b"hello") == b"hello"
        await proxy.wait_until(lambda seen: seen.open == 1)
        assert not proxy.reset_from(port)


async def test_half_closing_ends_one_direction_only(proxy: FaultProxy, target: Target) -> None:
    async with dialled(proxy) as streams:
        await says(streams, b"-")
        assert proxy.half_close(Direction.UP) == 1
        await target.got_eof.wait()
        streams[1].write(b"nobody hears this" * 10_000)
        target.writers[0].write(b"but this arrives")
        assert await streams[0].readexactly(16) == b"but this arrives"
        assert proxy.statistics.bytes_up == 1


@pytest.mark.parametrize("direction", Direction)
async def test_a_cut_lets_exactly_so_many_bytes_through(
    proxy: FaultProxy, target: Target, direction: Direction
) -> None:
    proxy.set_fault(Fault(cut_after_bytes=7), direction)
    async with dialled(proxy) as streams:
        # Begun before the bytes come: a stream reader drops what it holds once the reset is there.
        reading = asyncio.ensure_future(streams[0].readexactly(7))
        streams[1].write(b"0123456789")
        await proxy.wait_until(lambda seen: seen.resets == 1)
        got, *_ = await asyncio.gather(reading, return_exceptions=True)
        with pytest.raises(ConnectionResetError):
            await streams[0].readexactly(1)
    if direction is Direction.DOWN:
        assert got == b"0123456"
        assert proxy.statistics.bytes_down == 7
    else:
        assert proxy.statistics.bytes_up == 7


async def test_a_polite_cut_ends_without_an_error(proxy: FaultProxy) -> None:
    proxy.set_fault(Fault(cut_after_bytes=7, cut_by_reset=False), Direction.DOWN)
    async with dialled(proxy) as streams:
        streams[1].write(b"0123456789")
        assert await streams[0].read() == b"0123456"
    assert proxy.statistics.resets == 0


async def test_a_receiver_that_reads_nothing_stops_the_sender(proxy: FaultProxy, target: Target) -> None:
    """Back-pressure: a sender is stopped within the kernel's buffers and the proxy's own, far below 100 MB."""
    target.mute = True
    async with dialled(proxy) as streams:
        written = 0
        for _ in range(100):
            streams[1].write(b"x" * 1_000_000)
            written += 1_000_000
            try:
                async with asyncio.timeout(0.2):
                    await streams[1].drain()
            except TimeoutError:
                break
        assert written < 60_000_000
        assert proxy.statistics.bytes_up < written


async def test_a_target_that_is_away_ends_the_connection() -> None:
    async with echo() as target:
        port = target.port
    async with FaultProxy("127.0.0.1", port) as proxy, dialled(proxy) as streams:
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await streams[0].readexactly(1)
        assert proxy.statistics.connect_failures == 1


async def test_connections_over_the_limit_are_cut_off_at_once(target: Target) -> None:
    async with FaultProxy("127.0.0.1", target.port, max_connections=1) as proxy, dialled(proxy) as first:
        await says(first, b"-")
        async with dialled(proxy) as second:
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await second[0].readexactly(1)
        assert proxy.statistics.over_limit == 1


async def test_leaving_closes_everything_even_in_a_blackhole(target: Target) -> None:
    async with FaultProxy("127.0.0.1", target.port) as proxy:
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        await proxy.wait_until(lambda seen: seen.open == 1)
        proxy.blackhole()
        writer.write(b"x" * 10_000)
    assert proxy.statistics.open == 0
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.transport.abort()


@pytest.mark.parametrize("wrong", [{"latency_ms": -1}, {"bytes_per_second": 0}, {"cut_after_bytes": -1}])
def test_a_fault_that_makes_no_sense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        Fault(**wrong)  # type: ignore[arg-type]  # the point is what the value is


def test_the_faults_do_the_same_on_the_loop_the_services_run_on() -> None:
    async def scene() -> None:
        async with echo() as target, FaultProxy("127.0.0.1", target.port) as proxy, dialled(proxy) as streams:
            assert await says(streams, b"x" * 300_000) == b"x" * 300_000
            await proxy.refuse_new()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", proxy.port)
            await proxy.heal()
            proxy.reset_all()
            with pytest.raises(ConnectionResetError):
                await streams[0].readexactly(1)
            await target.got_reset.wait()
            async with dialled(proxy) as again:
                assert await says(again, b"hello") == b"hello"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scene())
