"""No socket to Redis outlives its client: whoever is cancelled, and whatever is under way when the client is closed.

Every await of a command is a moment of its own here: the driver below strikes at each of them, one after another.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from pmcp_common.bus_redis import channel_messages
from pmcp_common.redis_link import BytesRedis, connect, connect_blocking

WAIT_SECONDS = 5.0
MANY_STEPS = 40
ANSWERS = {b"CLIENT\r\n": b"+OK\r\n", b"PING\r\n": b"+PONG\r\n", b"SUBSCRIBE\r\n": b"*3\r\n+subscribe\r\n+c\r\n:1\r\n"}

Strike = Callable[[], Awaitable[None]]
Work = Callable[[BytesRedis, str], Coroutine[Any, Any, None]]


class Peer:
    """Answers like Redis, as far as these tests ask, and knows which connections are open. BLPOP never answers."""

    def __init__(self) -> None:
        self.port = 0
        self.links: set[Link] = set()
        self.changed = asyncio.Event()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def until_all_closed(self) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(b"PING\r\n")
            await reader.readline()  # all that came before is accepted now
            writer.close()
            await writer.wait_closed()
            while self.links:
                self.changed.clear()
                await self.changed.wait()


class Link(asyncio.Protocol):
    """One connection as the peer sees it."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._peer.links.add(self)

    def data_received(self, data: bytes) -> None:
        for command, answer in ANSWERS.items():
            self.transport.write(answer * data.count(command))

    def connection_lost(self, _error: Exception | None) -> None:
        self._peer.links.discard(self)
        self._peer.changed.set()


@asynccontextmanager
async def listening() -> AsyncIterator[Peer]:
    peer = Peer()
    server = await asyncio.get_running_loop().create_server(lambda: Link(peer), "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for link in peer.links:
            link.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)  # uvloop lets go of the listening socket at the end of its turn only


class Stepped:
    """Awaits `work`, and strikes at its await number `step`: before what is awaited is there, or (`late`) just when it
    is there and `work` has not seen it yet."""

    def __init__(self, work: Coroutine[Any, Any, None], step: int, late: bool, strike: Strike) -> None:
        self._work = work
        self._step = step
        self._late = late
        self._strike = strike
        self.struck = False

    def __await__(self) -> Generator[Any, Any, None]:
        error: BaseException | None = None
        for step in itertools.count():
            try:
                awaited = self._work.send(None) if error is None else self._work.throw(error)
            except StopIteration:
                return
            here = step == self._step
            error = yield from _outcome(self._hit() if here and not self._late else (), (awaited,))
            if here and self._late:
                error = (yield from _outcome(self._hit(), (None,))) or error  # a cancellation comes out at the turn

    def _hit(self) -> Generator[Any, Any, None]:
        self.struck = True
        yield from self._strike().__await__()


def _outcome(*parts: Iterable[Any]) -> Generator[Any, Any, BaseException | None]:
    try:
        for part in parts:
            yield from part
    except BaseException as error:  # noqa: BLE001 - whatever it is, it goes on into `work`
        return error
    return None


async def cancel_myself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def run(stepped: Stepped) -> None:
    await stepped


async def command(redis: BytesRedis, _url: str) -> None:
    await redis.ping()


async def pipeline(redis: BytesRedis, _url: str) -> None:
    async with redis.pipeline(transaction=False) as pipe:
        await pipe.ping().ping().execute()  # type: ignore[union-attr]


async def subscription(_redis: BytesRedis, url: str) -> None:
    async with aclosing(channel_messages(url, "c")) as messages:
        assert await anext(messages) is None


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Generator[asyncio.Runner, None, None]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner
    gc.collect()  # a connection that was dropped open says so now, not in an innocent test


def at_every_step(runner: asyncio.Runner, trial: Callable[[int], Coroutine[Any, Any, bool]]) -> None:
    """`trial` of one step says whether there was such a step."""
    struck = sum(1 for _ in itertools.takewhile(lambda step: runner.run(trial(step)), range(MANY_STEPS)))
    assert 0 < struck < MANY_STEPS


late_or_not = pytest.mark.parametrize("late", [False, True], ids=["early", "late"])


@late_or_not
@pytest.mark.parametrize("make", [connect, connect_blocking])
@pytest.mark.parametrize("work", [command, pipeline, subscription])
def test_whoever_is_cancelled_ends_and_leaves_no_socket(
    runner: asyncio.Runner, work: Work, make: Callable[[str], BytesRedis], late: bool
) -> None:
    async def trial(step: int) -> bool:
        async with listening() as peer:
            redis = make(peer.url)
            stepped = Stepped(work(redis, peer.url), step, late, cancel_myself)
            task = asyncio.create_task(run(stepped))
            await asyncio.wait([task], timeout=WAIT_SECONDS)
            assert task.done()
            assert task.cancelled() == stepped.struck
            await redis.aclose()
            await peer.until_all_closed()
        return stepped.struck

    at_every_step(runner, trial)


@late_or_not
@pytest.mark.parametrize("make", [connect, connect_blocking])
@pytest.mark.parametrize("connected", [False, True], ids=["new", "connected"])
def test_a_command_under_way_when_its_client_is_closed_connects_no_more(
    runner: asyncio.Runner, make: Callable[[str], BytesRedis], connected: bool, late: bool
) -> None:
    async def trial(step: int) -> bool:
        async with listening() as peer:
            redis = make(peer.url)
            if connected:
                await redis.ping()
            stepped = Stepped(command(redis, peer.url), step, late, redis.aclose)
            async with asyncio.timeout(WAIT_SECONDS):
                answer = (await asyncio.gather(run(stepped), return_exceptions=True))[0]
            assert answer is None or isinstance(answer, RedisConnectionError)
            if stepped.struck:
                await peer.until_all_closed()
            await redis.aclose()
        return stepped.struck

    at_every_step(runner, trial)


@late_or_not
def test_a_client_whose_closing_is_cancelled_is_closed(runner: asyncio.Runner, late: bool) -> None:
    async def trial(step: int) -> bool:
        async with listening() as peer:
            redis = connect(peer.url)
            await asyncio.gather(redis.ping(), redis.ping())
            stepped = Stepped(redis.aclose(), step, late, cancel_myself)
            await asyncio.wait([asyncio.create_task(run(stepped))], timeout=WAIT_SECONDS)
            await peer.until_all_closed()
        return stepped.struck

    at_every_step(runner, trial)


async def test_a_closed_client_refuses_whoever_comes_later_and_whoever_waits() -> None:
    async with listening() as peer:
        redis = connect_blocking(peer.url)
        waiting = asyncio.create_task(cast(Coroutine[Any, Any, Any], redis.blpop(["list"])))
        await redis.ping()
        await redis.aclose()
        with pytest.raises(RedisConnectionError):
            async with asyncio.timeout(WAIT_SECONDS):
                await waiting
        with pytest.raises(RedisConnectionError):
            await redis.ping()
        await peer.until_all_closed()


async def test_bytes_that_the_peer_never_takes_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pmcp_common.redis_link.CLOSE_SECONDS", 0.0)
    async with listening() as peer:
        redis = connect(peer.url)
        await redis.ping()
        connection: Any = redis.connection_pool._available_connections[0]
        transport = connection._writer.transport
        for link in peer.links:
            link.transport.pause_reading()
        sending = asyncio.create_task(cast(Coroutine[Any, Any, Any], redis.set("key", bytes(50_000_000))))
        async with asyncio.timeout(WAIT_SECONDS):
            while not transport.get_write_buffer_size():  # noqa: ASYNC110 - a transport has no event for it
                await asyncio.sleep(0)
            await redis.aclose()
            assert transport.get_write_buffer_size() == 0
            with pytest.raises(RedisConnectionError):
                await sending
