"""Migrations and the pool against a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from pmcp_common.postgres import MigrationFailed, connect_pool, migrate

MakeDatabase = Callable[[], Awaitable[str]]


@pytest.fixture
async def dsn(make_database: MakeDatabase) -> str:
    return await make_database()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text(
        "CREATE TABLE sample.one (a integer); CREATE TABLE sample.two (a integer);"
    )
    return tmp_path


async def tables(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'sample'")
    await connection.close()
    return {row["tablename"] for row in rows} - {"schema_migrations"}


async def test_files_are_applied_once_and_in_order(dsn: str, directory: Path) -> None:
    assert await migrate(dsn, directory, "sample") == ["0001_first.sql"]
    (directory / "0002_second.sql").write_text("ALTER TABLE sample.one RENAME TO uno;")
    assert await migrate(dsn, directory, "sample") == ["0002_second.sql"]
    assert await migrate(dsn, directory, "sample") == []
    assert await tables(dsn) == {"uno", "two"}


async def test_replicas_that_start_at_once_apply_each_file_once(dsn: str, directory: Path) -> None:
    results = await asyncio.gather(*(migrate(dsn, directory, "sample") for _ in range(5)))
    assert sorted(results) == [[], [], [], [], ["0001_first.sql"]]


async def test_a_missing_database_is_created_by_whoever_is_first(dsn: str, directory: Path) -> None:
    base, _, name = dsn.rpartition("/")
    _, _, options = name.partition("?")
    fresh = f"{base}/made_by_migrate" + (f"?{options}" if options else "")
    try:
        results = await asyncio.gather(*(migrate(fresh, directory, "sample") for _ in range(3)))
        assert sorted(results) == [[], [], ["0001_first.sql"]]
    finally:
        connection = await asyncpg.connect(dsn)
        await connection.execute("DROP DATABASE IF EXISTS made_by_migrate WITH (FORCE)")
        await connection.close()


async def test_a_file_changed_after_it_was_applied_is_refused_by_name(dsn: str, directory: Path) -> None:
    await migrate(dsn, directory, "sample")
    (directory / "0001_first.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationFailed, match=r"0001_first\.sql changed after it was applied"):
        await migrate(dsn, directory, "sample")


async def test_a_file_renamed_after_it_was_applied_is_refused(dsn: str, directory: Path) -> None:
    await migrate(dsn, directory, "sample")
    (directory / "0001_first.sql").rename(directory / "0001_other.sql")
    with pytest.raises(MigrationFailed, match=r"0001_first\.sql is applied here, but the file is gone"):
        await migrate(dsn, directory, "sample")


async def test_an_older_replica_starts_beside_a_newer_schema(dsn: str, directory: Path) -> None:
    (directory / "0002_newer.sql").write_text("SELECT 1;")
    await migrate(dsn, directory, "sample")
    (directory / "0002_newer.sql").unlink()
    assert await migrate(dsn, directory, "sample") == []


async def test_a_failing_file_leaves_nothing_of_itself(dsn: str, directory: Path) -> None:
    (directory / "0002_bad.sql").write_text("CREATE TABLE sample.three (a integer); SELECT nothing_like_this;")
    with pytest.raises(MigrationFailed, match=r"0002_bad\.sql failed"):
        await migrate(dsn, directory, "sample")
    assert await tables(dsn) == {"one", "two"}
    (directory / "0002_bad.sql").write_text("CREATE TABLE sample.three (a integer);")
    assert await migrate(dsn, directory, "sample") == ["0002_bad.sql"]


async def test_a_held_lock_is_a_clear_failure_after_its_time(dsn: str, directory: Path) -> None:
    await migrate(dsn, directory, "sample")
    holder = await asyncpg.connect(dsn)
    await holder.execute("SELECT pg_advisory_lock($1, hashtext('sample'))", 0x706D6370)
    with pytest.raises(MigrationFailed, match="has held the migration lock"):
        await migrate(dsn, directory, "sample", lock_timeout_seconds=0.1)
    await holder.close()


async def test_services_keep_separate_books(
    dsn: str, directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "0001_first.sql").write_text("CREATE TABLE other.one (a integer);")
    await migrate(dsn, directory, "sample")
    assert await migrate(dsn, other, "other") == ["0001_first.sql"]


async def test_the_pool_speaks_json_and_vectors(dsn: str) -> None:
    await asyncpg_execute(dsn, "CREATE EXTENSION IF NOT EXISTS vector")
    pool = await connect_pool(dsn, application_name="test", vectors=True)
    try:
        value = {"text": "é", "list": [1, None]}
        row = await pool.fetchrow("SELECT $1::jsonb AS document, $2::vector AS vector", value, [1, 2.5])
        assert row is not None
        assert (row["document"], row["vector"]) == (value, (1.0, 2.5))
        assert await pool.fetchval("SELECT current_setting('application_name')") == "test"
    finally:
        await pool.close()


async def test_vectors_without_their_extension_are_a_clear_failure(dsn: str) -> None:
    await asyncpg_execute(dsn, "DROP EXTENSION IF EXISTS vector")
    with pytest.raises(MigrationFailed, match="no extension 'vector'"):
        await connect_pool(dsn, application_name="test", vectors=True)


async def test_a_statement_over_its_time_is_cancelled_by_the_server(dsn: str) -> None:
    pool = await connect_pool(dsn, application_name="test", statement_timeout_seconds=0.05)
    try:
        with pytest.raises(asyncpg.QueryCanceledError):
            await pool.execute("SELECT pg_sleep(5)")
        assert await pool.fetchval("SELECT 1") == 1
    finally:
        await pool.close()


async def asyncpg_execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(statement)
    await connection.close()
