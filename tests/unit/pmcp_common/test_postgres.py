"""What postgres.py promises without a server: names of files and queries, the form of a vector."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_common.postgres import (
    MigrationFailed,
    decode_vector,
    encode_vector,
    read_migrations,
    read_queries,
)


def write(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).write_text("SELECT 1;")


def test_migrations_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write(tmp_path, "0002_b.sql", "0001_z.sql", "notes.md")
    assert [migration.name for migration in read_migrations(tmp_path)] == ["0001_z.sql", "0002_b.sql"]


@pytest.mark.parametrize(
    "names",
    [
        ("0001_a.sql", "0003_b.sql"),
        ("0001_a.sql", "0001_b.sql"),
        ("0002_a.sql",),
        ("1_a.sql",),
        ("0001_A.sql",),
        ("a.sql",),
    ],
)
def test_a_gap_a_double_or_an_odd_name_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    write(tmp_path, *names)
    with pytest.raises(MigrationFailed):
        read_migrations(tmp_path)


def test_a_file_of_queries_is_split_at_their_names(tmp_path: Path) -> None:
    source = tmp_path / "queries.sql"
    source.write_text("-- All of them.\n\n-- name: one\nSELECT 1\n\n-- name: find_two\n-- why\nSELECT 2\n")
    assert read_queries(source) == {"one": "SELECT 1", "find_two": "-- why\nSELECT 2"}


def test_a_query_name_is_used_once(tmp_path: Path) -> None:
    source = tmp_path / "queries.sql"
    source.write_text("-- name: one\nSELECT 1\n-- name: one\nSELECT 2\n")
    with pytest.raises(ValueError, match="'one' is there twice"):
        read_queries(source)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=400))
def test_a_vector_survives_its_binary_form(values: list[float]) -> None:
    encoded = encode_vector(values)
    assert decode_vector(encoded) == tuple(values)
    assert encode_vector(encoded) == encoded
