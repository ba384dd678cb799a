"""The lives of Redis' data that a fault ended: put aside whole, and opened again when the run is judged.

Above it: `hazards` puts aside, `holdings` reads. Below it: the files of a Valkey, and a server of its own for each.
Rule: a life that was put aside is only read, and nothing in it expires any more.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from pmcp_common.testing.waiting import until
from pmcp_local import ports, valkey
from pmcp_local.part import NotReady, StackError
from pmcp_local.process import Child, Launch
from pmcp_local.settings import inherited_environment

FILES = "appendonlydir"
OPEN_SECONDS = 60.0
CLOSE_SECONDS = 5.0
LOG_MAX_BYTES = 1_000_000


def is_written(directory: Path) -> bool:
    """Whether a server's life has files yet."""
    return (directory / FILES).is_dir()


def put_aside(directory: Path) -> Path:
    """The files of the server that runs in `directory`, moved beside it, where it writes on into them until it ends.

    Ended by SIGTERM it leaves nothing unwritten there (killed, what it holds back while the disk is slow); the next one
    begins empty. Raises FileNotFoundError when it has written none.
    """
    lives = directory.with_name(f"{directory.name}-lives")
    lives.mkdir(exist_ok=True)
    life = lives / str(1 + sum(1 for _ in lives.iterdir()))
    life.mkdir()
    (directory / FILES).rename(life / FILES)
    return life


@asynccontextmanager
async def opened(life: Path) -> AsyncIterator[Redis]:
    """A client of a server on this life, inside the block. Raises StackError, TimeoutError."""
    port = ports.find_free(1)[0]
    # An importing server takes nothing away by itself, and one that says it is the source is shown what has expired.
    command = [
        *valkey.server_command(valkey.find_server(), life, port),
        *("--import-mode", "yes", "--auto-aof-rewrite-percentage", "0"),
    ]
    log = life / "valkey.log"
    server = await Child.start(Launch(command, inherited_environment(), log, LOG_MAX_BYTES))

    async def answers() -> bool:
        if server.exit_code is not None:
            raise StackError(f"A life that was put aside cannot be opened; the log is {log}.")
        try:
            await valkey.check_ping(port)
        except (NotReady, OSError):
            return False
        return True

    try:
        await until(answers, OPEN_SECONDS)
        async with Redis(host=valkey.HOST, port=port, redis_connect_func=_as_the_source) as redis:
            yield redis
    finally:
        await server.stop(signal.SIGTERM, CLOSE_SECONDS)


async def _as_the_source(connection: Any) -> None:
    await connection.on_connect()
    await connection.send_command("CLIENT", "IMPORT-SOURCE", "ON")
    await connection.read_response()
