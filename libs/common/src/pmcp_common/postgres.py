"""PostgreSQL plumbing for the services that own rows: a pool, named queries, numbered migrations.

Knows no table. Each service owns one schema of the same name in the shared database, keeps its statements in
a `.sql` file beside its store and its migrations in a folder of its package. Only stores and composition
roots import this module. Driver errors pass through: a store turns those it expects into domain errors.
"""

from __future__ import annotations

import hashlib
import logging
import re
import struct
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import orjson

log = logging.getLogger(__name__)

_MIGRATION_NAME = re.compile(r"(?P<number>\d{4})_[a-z0-9_]+\.sql")
_QUERY_HEADER = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)[ \t]*$", re.MULTILINE)
_SERVICE_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LOCK_CLASS = 0x706D6370  # "pmcp": keeps our advisory locks apart from those of other applications


class MigrationFailed(Exception):
    """The schema could not be brought up to date; the text names the file or the reason."""


class _PooledConnection(asyncpg.Connection):
    """Skips the four statements asyncpg sends at each release (a round trip per query): nothing here leaves
    session state behind. Settings go through `set_config(…, true)`, which ends with its transaction."""

    def get_reset_query(self) -> str:
        return ""


async def connect_pool(
    dsn: str,
    *,
    application_name: str,
    min_size: int = 2,
    max_size: int = 8,
    statement_timeout_seconds: float = 5.0,
    connect_timeout_seconds: float = 5.0,
    vectors: bool = False,
    session_settings: Mapping[str, str] | None = None,
) -> asyncpg.Pool:
    """A pool whose connections speak jsonb as Python values (orjson).

    `session_settings` are PostgreSQL's, for each connection. `vectors` adds pgvector's `vector` as a sequence of
    float32; the extension must exist by then. A statement over its time is cancelled by the server; the client gives
    up one second later, should the server be silent.
    """

    async def prepare(connection: asyncpg.Connection) -> None:
        await _speak_json(connection)
        if vectors:
            await _speak_vector(connection)

    return await asyncpg.create_pool(
        dsn,
        min_size=min_size,
        max_size=max_size,
        init=prepare,
        connection_class=_PooledConnection,
        timeout=connect_timeout_seconds,
        command_timeout=statement_timeout_seconds + 1.0,
        server_settings={
            "application_name": application_name,
            "statement_timeout": str(int(statement_timeout_seconds * 1000)),
            "idle_in_transaction_session_timeout": str(int(statement_timeout_seconds * 2000)),
            "timezone": "UTC",
            # Compiling a plan costs more than any of our short statements.
            "jit": "off",
            **(session_settings or {}),
        },
    )


async def _speak_json(connection: asyncpg.Connection) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind,
            schema="pg_catalog",
            encoder=lambda value: orjson.dumps(value).decode(),
            decoder=orjson.loads,
        )


async def _speak_vector(connection: asyncpg.Connection) -> None:
    schema = await connection.fetchval(
        "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'"
    )
    if schema is None:
        raise MigrationFailed("this database has no extension 'vector': run the memory service's migrations first")
    await connection.set_type_codec(
        "vector", schema=schema, format="binary", encoder=encode_vector, decoder=decode_vector
    )


def encode_vector(values: Sequence[float] | bytes) -> bytes:
    """pgvector's binary form: dimension (int16), unused (int16), float32 …, all big-endian.

    Not by the package `pgvector`: for 384 floats its codec takes 28 µs instead of 13 (a `halfvec` 20), once for each
    recall, and gives objects of its own back.

    Bytes are taken as encoded already: that is how the elements of a `vector[]` argument must come, for asyncpg
    would read a list of lists as an array of two dimensions.
    """
    if isinstance(values, bytes):
        return values
    return struct.pack(f">HH{len(values)}f", len(values), 0, *values)


def decode_vector(raw: bytes) -> tuple[float, ...]:
    (dimension, _unused) = struct.unpack_from(">HH", raw)
    return struct.unpack_from(f">{dimension}f", raw, 4)


def read_queries(source: Traversable) -> dict[str, str]:
    """The statements of one `.sql` file, each below a line `-- name: verb_noun`."""
    parts = _QUERY_HEADER.split(source.read_text(encoding="utf-8"))
    queries: dict[str, str] = {}
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        if name in queries:
            raise ValueError(f"{source.name}: the query '{name}' is there twice")
        queries[name] = text.strip()
    return queries


@dataclass(frozen=True, slots=True)
class Migration:
    name: str
    sql: str

    @property
    def number(self) -> int:
        return int(self.name[:4])

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(directory: Traversable) -> list[Migration]:
    """The files `0001_name.sql`, `0002_name.sql` … in order; a gap, a double or an odd name is an error."""
    found = sorted(
        (Migration(entry.name, entry.read_text(encoding="utf-8")) for entry in _sql_files(directory)),
        key=lambda migration: migration.name,
    )
    for expected, migration in enumerate(found, start=1):
        if migration.number != expected:
            raise MigrationFailed(f"{migration.name}: expected number {expected:04d} here")
    return found


def _sql_files(directory: Traversable) -> Iterable[Traversable]:
    for entry in directory.iterdir():
        if not entry.name.endswith(".sql"):
            continue
        if not _MIGRATION_NAME.fullmatch(entry.name):
            raise MigrationFailed(f"{entry.name}: a migration is named like 0001_what_it_does.sql")
        yield entry


async def migrate(
    dsn: str, directory: Traversable | Path, service: str, *, lock_timeout_seconds: float = 60.0
) -> list[str]:
    """Apply what is not applied yet and return its file names.

    Any number of replicas may start at once: one works, the others wait for it. Each file is one transaction
    together with its book entry (`<service>.schema_migrations`), so a failure leaves the files before it.
    Creates the database when it is missing. Newer files than ours in the book are left alone: an older
    replica may still run beside a newer one during a roll-out.
    """
    if not _SERVICE_NAME.fullmatch(service):
        raise ValueError(f"not a schema name: {service!r}")
    migrations = read_migrations(directory)
    await ensure_database(dsn, lock_timeout_seconds=lock_timeout_seconds)
    async with _locked_connection(dsn, service, lock_timeout_seconds) as connection:
        await connection.execute(_BOOK.format(schema=service))
        rows = await connection.fetch(_READ_BOOK.format(schema=service))
        book = {row["name"]: row["checksum"] for row in rows}
        _compare(migrations, book)
        pending = [migration for migration in migrations if migration.name not in book]
        for migration in pending:
            await _apply(connection, migration, service)
    return [migration.name for migration in pending]


_BOOK = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.schema_migrations (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
"""
_READ_BOOK = "SELECT name, checksum FROM {schema}.schema_migrations"
_ENTER_BOOK = "INSERT INTO {schema}.schema_migrations (name, checksum) VALUES ($1, $2)"


def _compare(migrations: Sequence[Migration], book: dict[str, str]) -> None:
    ours = {migration.name: migration.checksum for migration in migrations}
    for name, checksum in sorted(book.items()):
        if name in ours and ours[name] != checksum:
            raise MigrationFailed(f"{name} changed after it was applied: undo the change and write a new migration")
        if name not in ours and int(name[:4]) <= len(migrations):
            raise MigrationFailed(f"{name} is applied here, but the file is gone")


async def _apply(connection: asyncpg.Connection, migration: Migration, service: str) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            book_entry = _ENTER_BOOK.format(schema=service)
            await connection.execute(book_entry, migration.name, migration.checksum)
    except asyncpg.PostgresError as error:
        raise MigrationFailed(f"{service}: {migration.name} failed: {error}") from error
    log.info("migration applied", extra={"migration": migration.name, "schema": service})


@asynccontextmanager
async def _locked_connection(
    dsn: str, lock_name: str, lock_timeout_seconds: float, **overrides: Any
) -> AsyncIterator[asyncpg.Connection]:
    """One connection that holds an advisory lock of this database until it closes."""
    connection = await asyncpg.connect(
        dsn,
        timeout=10.0,
        server_settings={
            "application_name": f"pmcp-migrate-{lock_name}",
            "lock_timeout": str(int(lock_timeout_seconds * 1000)),
        },
        **overrides,
    )
    try:
        try:
            await connection.execute("SELECT pg_advisory_lock($1, hashtext($2))", _LOCK_CLASS, lock_name)
        except asyncpg.LockNotAvailableError as error:
            raise MigrationFailed(
                f"{lock_name}: another process has held the migration lock for {lock_timeout_seconds:g} s"
            ) from error
        yield connection
    finally:
        await connection.close()


async def ensure_database(dsn: str, *, lock_timeout_seconds: float = 60.0) -> bool:
    """Create the database the DSN names, through the server's database `postgres`. True when created."""
    try:
        connection = await asyncpg.connect(dsn, timeout=10.0)
    except asyncpg.InvalidCatalogNameError:
        pass
    else:
        await connection.close()
        return False
    name = unquote(urlsplit(dsn).path.lstrip("/"))
    if not name:
        raise MigrationFailed("the PostgreSQL DSN names no database")
    async with _locked_connection(dsn, "create-database", lock_timeout_seconds, database="postgres") as maintenance:
        if await maintenance.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            return False
        quoted = name.replace('"', '""')
        await maintenance.execute(f'CREATE DATABASE "{quoted}"')
    log.info("database created", extra={"database": name})
    return True
