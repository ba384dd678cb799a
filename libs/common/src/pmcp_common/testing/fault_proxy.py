"""A TCP proxy that misbehaves on demand: `async with FaultProxy(host, port) as proxy: ... proxy.port`.

Stands before Redis, Postgres, a model server or a gateway and knows nothing of what they say. Above it: fault tests
and the soak. Rules: bytes are delayed, held or cut, never altered or reordered; at most MAX_QUEUED_CHUNKS chunks wait
per direction, then the sender feels back-pressure; leaving the context closes every socket it opened. Linux.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from pmcp_common.testing.fault_proxy_pipe import Connection, Direction, Fault, Timing

MAX_CONNECTIONS = 4096
CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 5.0
BACKLOG = 512

__all__ = ["Direction", "Fault", "FaultProxy", "Scope", "Statistics"]


class Scope(StrEnum):
    """Which connections a change of behaviour reaches."""

    ALL = "all"
    NEW = "new"
    EXISTING = "existing"


@dataclass(slots=True)
class Statistics:
    """Totals since the start; `open` is now."""

    accepted: int = 0
    open: int = 0
    over_limit: int = 0
    connect_failures: int = 0
    resets: int = 0
    """Connections this proxy reset: `reset_all`, and cuts by reset."""
    bytes_up: int = 0
    bytes_down: int = 0


class FaultProxy:
    """Listens on a free loopback port. `seed` makes jitter repeatable; `sleep` and `monotonic` are injected."""

    def __init__(
        self,
        target_host: str,
        target_port: int,
        *,
        listen_host: str = "127.0.0.1",
        listen_port: int = 0,
        seed: int = 0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] | None = None,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.statistics = Statistics()
        self.port = listen_port
        self._target = (target_host, target_port)
        self._listen_host = listen_host
        self._random = random.Random(seed)
        self._sleep = sleep
        self._monotonic = monotonic
        self._max_connections = max_connections
        self._faults: dict[Direction, Fault] = {direction: Fault() for direction in Direction}
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._dialling: set[asyncio.Task[None]] = set()
        self._holder: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._waiters: list[tuple[Callable[[Statistics], bool], asyncio.Future[None]]] = []

    async def __aenter__(self) -> Self:
        # Bound and never listening: it keeps the port ours while new connections are refused.
        self._holder = self._bound_socket(self.port)
        self.port = self._holder.getsockname()[1]
        await self.accept_new()
        return self

    async def __aexit__(self, *_: object) -> None:
        server = await self._stop_listening()
        for connection in tuple(self._connections):
            connection.close()
        for task in self._dialling:
            task.cancel()
        await asyncio.gather(*self._dialling, *self._connections.values(), return_exceptions=True)
        if server is not None:
            async with asyncio.timeout(CLOSE_SECONDS):
                await server.wait_closed()
        if self._holder is not None:
            self._holder.close()
            self._holder = None

    # ---- behaviour

    def set_fault(self, fault: Fault, direction: Direction | None = None, scope: Scope = Scope.ALL) -> None:
        """Replaces the behaviour; None means both directions. A cut counts the bytes from now on.

        What a latency already holds back keeps its delay."""
        for one in Direction if direction is None else (direction,):
            if scope is not Scope.EXISTING:
                self._faults[one] = fault
            if scope is not Scope.NEW:
                for connection in self._connections:
                    connection.set_fault(one, fault)

    def pass_through(self, scope: Scope = Scope.ALL) -> None:
        """What was held back is delivered. Does not undo `refuse_new`: `heal` does both."""
        self.set_fault(Fault(), None, scope)

    def blackhole(self, direction: Direction | None = None, scope: Scope = Scope.ALL) -> None:
        """Accepts and forwards nothing, hang-ups neither, until another behaviour is set; then all of it is delivered.

        Latency and the other parts of the direction's fault stay as they are."""
        for one in Direction if direction is None else (direction,):
            self.set_fault(replace(self._faults[one], blackhole=True), one, scope)

    async def heal(self) -> None:
        self.pass_through()
        await self.accept_new()

    async def refuse_new(self) -> None:
        """New connections get ECONNREFUSED; existing ones stay."""
        await self._stop_listening()

    async def accept_new(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(
                self._accepted, sock=self._bound_socket(self.port), backlog=BACKLOG
            )

    def reset_all(self) -> int:
        """RST to both sides of every connection; returns how many."""
        return self._reset(tuple(self._connections))

    def reset_some(self, share: float) -> int:
        """RST for a random share (0..1) of the connections; returns how many."""
        return self._reset(tuple(c for c in self._connections if self._random.random() < share))

    def reset_from(self, client_port: int) -> bool:
        """RST for the connection that a client made from this port of its own; False: there is none."""
        return self._reset(tuple(c for c in self._connections if c.client_port == client_port)) > 0

    def half_close(self, direction: Direction) -> int:
        """Ends one direction of every connection as if its sender had shut it down; the other one goes on."""
        for connection in self._connections:
            connection.half_close(direction)
        return len(self._connections)

    async def wait_until(self, condition: Callable[[Statistics], bool], timeout_seconds: float = 5.0) -> None:
        """Returns once `condition` holds. Raises TimeoutError."""
        if condition(self.statistics):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((condition, future))
        try:
            await asyncio.wait_for(future, timeout_seconds)
        finally:
            self._waiters = [waiter for waiter in self._waiters if waiter[1] is not future]

    # ---- connections

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) + len(self._dialling) >= self._max_connections:
            self.statistics.over_limit += 1
            writer.transport.abort()
            self._wake()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._dialling.add(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            connection = await self._dial(reader, writer)
        finally:
            self._dialling.discard(task)
        if connection is None:
            return
        self._connections[connection] = task
        self.statistics.accepted += 1
        self.statistics.open += 1
        self._wake()
        try:
            await connection.run()
        finally:
            del self._connections[connection]
            self.statistics.open -= 1
            self._wake()

    async def _dial(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Connection | None:
        """None: the target cannot be reached, and the client was cut off."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                target_reader, target_writer = await asyncio.open_connection(*self._target)
        except OSError:
            self.statistics.connect_failures += 1
            writer.transport.abort()
            self._wake()
            return None
        except BaseException:
            writer.transport.abort()
            raise
        monotonic = self._monotonic or asyncio.get_running_loop().time
        timing = Timing(self._sleep, monotonic, self._random)
        return Connection(
            {Direction.UP: (reader, target_writer), Direction.DOWN: (target_reader, writer)},
            dict(self._faults),
            timing,
            self._count,
            self._count_reset,
        )

    def _reset(self, chosen: tuple[Connection, ...]) -> int:
        for connection in chosen:
            connection.reset()
        return len(chosen)

    def _count(self, direction: Direction, size: int) -> None:
        if direction is Direction.UP:
            self.statistics.bytes_up += size
        else:
            self.statistics.bytes_down += size
        self._wake()

    def _count_reset(self) -> None:
        self.statistics.resets += 1

    def _wake(self) -> None:
        for future in self._satisfied():
            future.set_result(None)

    def _satisfied(self) -> Iterator[asyncio.Future[None]]:
        for condition, future in self._waiters:
            if not future.done() and condition(self.statistics):
                yield future

    # ---- listening

    def _bound_socket(self, port: int) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.setblocking(False)
            bound.bind((self._listen_host, port))
        except OSError:
            bound.close()
            raise
        return bound

    async def _stop_listening(self) -> asyncio.Server | None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            # uvloop lets go of the listening socket at the end of its turn only.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return server
