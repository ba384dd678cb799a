"""Real servers for tests, started once per run and gone at its end: PostgreSQL, Valkey, the small chat model.

Uses the same embedded servers as `pmcp_local`, without a supervisor. Whatever ends the run, the kernel ends the
servers with it (Linux). Nothing here starts unless a test asks for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import asyncpg
import pytest
import redis

from pmcp_common import postgres as migrations
from pmcp_local import model, ports, valkey
from pmcp_local.postgres import Cluster, check_database, find_binaries, make_cluster, server_account
from pmcp_local.probes import check_http
from pmcp_local.settings import inherited_environment
from pmcp_local.unprivileged import Account, child_setup

START_SECONDS = 30.0
STOP_SECONDS = 5.0
LOG_MAX_BYTES = 50_000_000

T = TypeVar("T")


def pytest_addoption(parser: pytest.Parser) -> None:
    faults = parser.getgroup("faults", "tests/faults")
    faults.addoption("--fault-size", choices=("short", "long"), default="short", help="long: the sizes of `make soak`")
    faults.addoption("--fault-figures", type=Path, help="file for what the fault tests measured")
    faults.addoption("--isolated", action="store_true", help="this run has a network and mounts of its own")


class Server:
    """A server process that a test may start, stop, kill, pause and start again on the same port and files."""

    def __init__(
        self,
        command: Sequence[str],
        check: Callable[[], Awaitable[None]],
        log: Path,
        *,
        account: Account | None = None,
        stop_signal: int = signal.SIGTERM,
    ) -> None:
        self._command = command
        self._check = check
        self._log = log
        self._account = account
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=child_setup(self._account, signal.SIGKILL),
            )
        outside_of_the_loop(self._until_ready())

    def stop(self) -> None:
        self._end(self._stop_signal)

    def kill(self) -> None:
        """As a crash would: no last words, nothing written out."""
        self._end(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """For SIGSTOP and SIGCONT: a server that is silent for a while."""
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)

    async def _until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self._command[0]} did not start:\n{self._log.read_text()[-2000:]}")
            try:
                async with asyncio.timeout(2.0):
                    return await self._check()
            except Exception:  # noqa: BLE001 - any failure means: not yet; the deadline above decides
                await asyncio.sleep(0.02)


def outside_of_the_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end in a thread of its own: a test's event loop may be current here."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, work).result()


@pytest.fixture(scope="session")
def server_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture
def free_port() -> int:
    return ports.find_free(1)[0]


# ---- PostgreSQL


@pytest.fixture(scope="session")
def postgres_cluster(server_directory: Path) -> Iterator[Cluster]:
    """A throw-away PostgreSQL with pgvector; nothing of it is forced to disk."""
    cluster = Cluster(
        binaries=find_binaries(),
        directory=server_directory / "postgres",
        port=ports.find_free(1)[0],
        log=server_directory / "postgres.log",
        environment=inherited_environment(),
        account=server_account(),
        durable=False,
    )
    outside_of_the_loop(make_cluster(cluster, LOG_MAX_BYTES))

    async def check() -> None:
        await check_database(cluster, "pmcp")

    server = Server(cluster.server_command(), check, cluster.log, account=cluster.account, stop_signal=signal.SIGQUIT)
    server.start()
    yield cluster
    server.stop()


class MakeDatabase(Protocol):
    def __call__(self, migrations: Mapping[str, Traversable | Path] | None = None, /) -> Awaitable[str]:
        """DSN of a fresh database, in which the migrations (service → directory) have run."""


_database_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def template_databases() -> dict[str, str]:
    """Fingerprint of migrations → name of the database in which they have run."""
    return {}


@pytest.fixture
async def make_database(postgres_cluster: Cluster, template_databases: dict[str, str]) -> AsyncIterator[MakeDatabase]:
    """Migrations run once in a template; each call copies it, so that a test pays some 30 ms."""
    made: list[str] = []

    async def make(directories: Mapping[str, Traversable | Path] | None = None, /) -> str:
        template = "template1"
        if directories:
            template = await _migrated_template(postgres_cluster, template_databases, directories)
        name = f"test_{next(_database_numbers)}"
        await _administer(postgres_cluster, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        made.append(name)
        return postgres_cluster.dsn(name)

    yield make
    for name in made:
        await _administer(postgres_cluster, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _migrated_template(
    cluster: Cluster, known: dict[str, str], directories: Mapping[str, Traversable | Path]
) -> str:
    fingerprint = _fingerprint(directories)
    if fingerprint not in known:
        name = f"template_{fingerprint}"
        for service, directory in directories.items():
            await migrations.migrate(cluster.dsn(name), directory, service)
        known[fingerprint] = name
    return known[fingerprint]


def _fingerprint(directories: Mapping[str, Traversable | Path]) -> str:
    digest = hashlib.sha256()
    for service, directory in directories.items():
        digest.update(service.encode())
        for migration in migrations.read_migrations(directory):
            digest.update(f"{migration.name}:{migration.checksum}".encode())
    return digest.hexdigest()[:16]


async def _administer(cluster: Cluster, statement: str) -> None:
    connection = await asyncpg.connect(cluster.dsn("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def postgres_dsn(make_database: MakeDatabase) -> str:
    """A fresh, empty database."""
    return await make_database()


# ---- Valkey


def _valkey_server(directory: Path, port: int, *, durable: bool) -> Server:
    directory.mkdir(exist_ok=True)

    async def check() -> None:
        await valkey.check_ping(port)

    command = valkey.server_command(valkey.find_server(), directory, port, durable=durable)
    return Server(command, check, directory.with_suffix(".log"))


@pytest.fixture(scope="session")
def valkey_port(server_directory: Path) -> Iterator[int]:
    port = ports.find_free(1)[0]
    server = _valkey_server(server_directory / "valkey", port, durable=False)
    server.start()
    yield port
    server.stop()


@pytest.fixture
def valkey_url(valkey_port: int) -> str:
    """The run's Valkey, emptied for this test."""
    url = f"redis://127.0.0.1:{valkey_port}/0"
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture
def own_valkey(tmp_path: Path, free_port: int) -> Iterator[tuple[Server, str]]:
    """A Valkey of the test's own (with its append-only file), to be killed, paused and started again."""
    server = _valkey_server(tmp_path / "own-valkey", free_port, durable=True)
    server.start()
    yield server, f"redis://127.0.0.1:{free_port}/0"
    server.stop()


# ---- the small chat model


@pytest.fixture(scope="session")
def embedded_model_url(server_directory: Path) -> Iterator[str]:
    """The real small model behind its OpenAI-compatible endpoint; its name is `pmcp_local.model.MODEL_NAME`."""
    port = ports.find_free(1)[0]
    url = f"http://{model.HOST}:{port}"

    async def check() -> None:
        await check_http(f"{url}/health")

    server = Server(model.server_command(port, 4, 4096), check, server_directory / "model.log")
    server.start()
    yield url
    server.stop()
