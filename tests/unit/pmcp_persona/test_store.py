"""What can be said about the store without a server: its statements."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from pmcp_common.postgres import read_queries

QUERIES = read_queries(files("pmcp_persona") / "queries.sql")


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_every_statement_is_bound_to_one_tenant(name: str) -> None:
    text = QUERIES[name]
    assert "tenant_id = $1" in text or re.search(r"\(\s*tenant_id,.*?VALUES \(\$1,", text, re.DOTALL)


@pytest.mark.parametrize("name", sorted(name for name in QUERIES if name.startswith(("list", "find", "read", "count"))))
def test_reads_write_nothing(name: str) -> None:
    assert not {"INSERT", "UPDATE", "DELETE", "LOCK"} & set(QUERIES[name].upper().split())
