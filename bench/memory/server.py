"""A throw-away PostgreSQL with pgvector for a measurement: on a free port, gone at the end.

Uses the embedded server of the one-machine stack. Nothing of it is forced to disk, so write figures are those of
PostgreSQL without the disk's latency; the tables say so.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

from pmcp_common.postgres import migrate
from pmcp_local import ports
from pmcp_local.postgres import Cluster, find_binaries, make_cluster, server_account
from pmcp_local.settings import inherited_environment
from pmcp_local.unprivileged import child_setup
from pmcp_memory.store import MIGRATIONS

START_SECONDS = 30.0


@asynccontextmanager
async def temporary_postgres(shared_buffers: str = "512MB") -> AsyncIterator[str]:
    """DSN of a database in which the memory service's migrations have run."""
    with _open_directory() as directory:
        cluster = Cluster(
            binaries=find_binaries(),
            directory=Path(directory) / "data",
            port=ports.find_free(1)[0],
            log=Path(directory) / "log",
            environment=inherited_environment(),
            account=server_account(),
            durable=False,
        )
        await make_cluster(cluster, 50_000_000)
        process = _start(cluster, shared_buffers)
        try:
            dsn = cluster.dsn("bench")
            await _migrate_when_up(dsn)
            yield dsn
        finally:
            process.send_signal(signal.SIGQUIT)
            await asyncio.to_thread(process.wait, 10)


@contextmanager
def _open_directory() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="pmcp-bench-", ignore_cleanup_errors=True) as directory:
        # The server may run as another account, which must be able to come in.
        Path(directory).chmod(0o755)
        yield directory


def _start(cluster: Cluster, shared_buffers: str) -> subprocess.Popen[bytes]:
    with cluster.log.open("ab") as log:
        return subprocess.Popen(
            [*cluster.server_command(), "-c", f"shared_buffers={shared_buffers}", "-c", "maintenance_work_mem=1GB"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=child_setup(cluster.account, signal.SIGKILL),
        )


async def _migrate_when_up(dsn: str) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                await migrate(dsn, MIGRATIONS, "memory")
                return
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(0.05)


def cpu_seconds(pid: int) -> float:
    """CPU seconds a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
