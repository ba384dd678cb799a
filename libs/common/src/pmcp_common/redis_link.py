"""Connections to Redis and the scripts of `lua/`: explicit time-outs everywhere, one translation of its errors.

Used by the adapters (`queue_arq`, `bus_redis`, the gateway's session store); nothing above them sees redis-py.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

from redis.asyncio import Connection, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from pmcp_common.contracts import keys as names_of
from pmcp_common.contracts.errors import InternalError, Unavailable
from pmcp_common.contracts.jobs import TERMINAL_STATES, TRANSITIONS

RETRY_AFTER_SECONDS = 1.0
CANNOT_WRITE_NOW = ("MISCONF", "OOM", "READONLY", "LOADING", "BUSY", "TRYAGAIN", "MASTERDOWN", "CLUSTERDOWN")
"""Answers of a Redis whose disk or memory is full, or that starts or changes its role: it may come back by itself."""
CANNOT_WRITE_ERRORS = (OutOfMemoryError, ReadOnlyError, TryAgainError, MasterDownError, ClusterDownError)
"""The same, where redis-py has a class for it: then the word is cut off the text."""
KEEPALIVE = {socket.TCP_KEEPIDLE: 5, socket.TCP_KEEPINTVL: 3, socket.TCP_KEEPCNT: 3}
"""A peer that vanished without a word is noticed after 14 s; the system's default is two hours."""
CLOSE_SECONDS = 3.0
CLOSED = "this client is closed"

BytesRedis = Redis


class LinkConnection(Connection):
    """A connection that a cancelled caller lets go of at once, and that its pool can close for good.

    redis-py (5.3 on Python 3.11) writes under `wait_for`, which loses a cancellation that comes during a write: the
    command goes on for nobody. And it makes a closed connection anew, also when the pool that owns it was closed.
    """

    retired = False

    def retire(self) -> asyncio.StreamWriter | None:
        """Close without waiting, and never connect again. Returns what is still to be waited for."""
        self.retired = True
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
        return writer

    async def connect(self) -> None:
        if self.retired:
            raise RedisConnectionError(CLOSED)
        await super().connect()  # type: ignore[no-untyped-call]

    async def _connect(self) -> None:
        await super()._connect()  # type: ignore[no-untyped-call]
        if self.retired:  # meanwhile
            self.retire()
            raise RedisConnectionError(CLOSED)

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        if not self.is_connected:
            await self.connect()
        try:
            if self._writer is None:
                raise RedisConnectionError(CLOSED)  # while it connected
            async with asyncio.timeout(self.socket_timeout):
                self._writer.writelines(command)
                await self._writer.drain()
        except TimeoutError as error:
            await self.disconnect(nowait=True)
            raise RedisTimeoutError("Timeout writing to socket") from error
        except (OSError, RuntimeError) as error:  # RuntimeError: uvloop's, for a socket that was reset meanwhile
            await self.disconnect(nowait=True)
            raise RedisConnectionError("the connection was closed") from error
        except BaseException:  # half of a command may have been written
            await self.disconnect(nowait=True)
            raise


class LinkPool(ConnectionPool):
    """A pool whose end is an end: redis-py's makes new connections for whoever is still at it, and nobody closes them.

    Also when its own closing is cancelled, no socket stays open.
    """

    ended = False

    def get_available_connection(self) -> Any:
        if self.ended:
            raise RedisConnectionError(CLOSED)
        return super().get_available_connection()  # type: ignore[no-untyped-call]

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """For good, with the connections in use and those in the making. This is what `Redis.aclose` calls."""
        self.ended = True
        connections: list[Any] = [*self._available_connections, *self._in_use_connections]
        writers = [connection.retire() for connection in connections]
        await asyncio.gather(*(_closed(writer) for writer in writers if writer is not None))


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Until the socket is closed. Its last bytes may wait for a peer that takes nothing: then they are dropped."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await writer.wait_closed()
    except TimeoutError:
        writer.transport.abort()
    except OSError:
        """It was broken already: closed is closed."""


def connect(url: str, *, timeout_seconds: float = 3.0, max_connections: int = 200) -> BytesRedis:
    """A client whose commands answer, or fail with an error, within `timeout_seconds` (and one retry).

    redis-py has no time-out by default; a command cancelled half-way drops its connection, so that the next user
    of the pool never reads a foreign answer.
    """
    pool: LinkPool = LinkPool.from_url(
        url,
        connection_class=LinkConnection,
        max_connections=max_connections,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        socket_keepalive=True,
        socket_keepalive_options=KEEPALIVE,
        # redis-py would ask twice before a command after a pause; a stale connection fails and is made anew anyhow.
        health_check_interval=0,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=1),
        retry_on_error=[RedisConnectionError],
    )
    return Redis.from_pool(pool)


def connect_blocking(url: str) -> BytesRedis:
    """A client for BLPOP and SUBSCRIBE: answers may take as long as they take. Keepalive finds a machine that is gone;
    whoever waits has to bound his wait himself, for a link that takes everything and brings nothing."""
    pool: LinkPool = LinkPool.from_url(
        url,
        connection_class=LinkConnection,
        socket_timeout=None,
        socket_connect_timeout=3.0,
        socket_keepalive=True,
        socket_keepalive_options=KEEPALIVE,
        health_check_interval=0,
    )
    return Redis.from_pool(pool)


@contextmanager
def broker_errors() -> Iterator[None]:
    """Translate what redis-py raises into our coded errors."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise Unavailable("The message broker is away", retry_after=RETRY_AFTER_SECONDS) from error
    except RedisError as error:
        if isinstance(error, CANNOT_WRITE_ERRORS) or str(error).startswith(CANNOT_WRITE_NOW):
            raise Unavailable("The message broker cannot write now", retry_after=RETRY_AFTER_SECONDS) from error
        raise InternalError("The message broker refused a command") from error


def script_constants() -> str:
    """The states of a job from the one table, and the names that no caller passes."""
    after = ", ".join(f"['{state} {event}'] = '{then}'" for (state, event), then in TRANSITIONS.items())
    ends = ", ".join(f"['{state}'] = true" for state in sorted(TERMINAL_STATES))
    names = f"local UNRECORDED, SETTLED = '{names_of.UNRECORDED}', '{names_of.SETTLED}'"
    return f"local NEXT = {{ {after} }}\nlocal TERMINAL = {{ {ends} }}\n{names}\n"


class Script:
    """One file of `lua/`, with the prelude in front; run by its hash, loaded again when Redis forgot it."""

    def __init__(self, redis: BytesRedis, name: str) -> None:
        folder = files("pmcp_common") / "lua"
        text = script_constants() + (folder / "prelude.lua").read_text() + (folder / f"{name}.lua").read_text()
        self._script = redis.register_script(text)

    async def __call__(self, keys: Sequence[str], args: Sequence[str | int | bytes]) -> Any:
        with broker_errors():
            return await self._script(keys=list(keys), args=list(args))
