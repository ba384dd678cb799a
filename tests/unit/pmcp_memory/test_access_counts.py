"""Recalls are counted beside the reply path, within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import asyncpg
import pytest

from pmcp_common.contracts.errors import Unavailable
from pmcp_memory import access_counts
from pmcp_memory.access_counts import AccessCounts

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class StillClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class Writer:
    def __init__(self) -> None:
        self.written: list[tuple[str, dict[str, int], datetime]] = []
        self.away: Exception | None = None

    async def count_accesses(self, tenant: str, times: Mapping[str, int], at: datetime) -> None:
        if self.away is not None:
            raise self.away
        self.written.append((tenant, dict(times), at))


async def test_what_was_noted_is_written_once_by_tenant() -> None:
    writer = Writer()
    counts = AccessCounts(writer, StillClock())
    counts.note("a", ["m1", "m2"])
    counts.note("a", ["m1"])
    counts.note("b", ["m1"])
    await counts.flush()
    await counts.flush()
    assert writer.written == [("a", {"m1": 2, "m2": 1}, NOW), ("b", {"m1": 1}, NOW)]


@pytest.mark.parametrize("failure", [Unavailable("away"), asyncpg.DeadlockDetectedError("deadlock"), OSError("reset")])
async def test_a_database_that_fails_loses_counts_and_nothing_else(failure: Exception) -> None:
    writer = Writer()
    writer.away = failure
    counts = AccessCounts(writer, StillClock())
    counts.note("a", ["m1"])
    await counts.flush()
    writer.away = None
    await counts.flush()
    assert writer.written == []


async def test_the_number_of_memories_between_two_writes_is_bounded() -> None:
    writer = Writer()
    counts = AccessCounts(writer, StillClock())
    counts.note("a", (f"m{number}" for number in range(access_counts.MAX_NOTED + 5)))
    counts.note("a", ["m0"])
    await counts.flush()
    assert len(writer.written[0][1]) == access_counts.MAX_NOTED
    assert writer.written[0][1]["m0"] == 2
