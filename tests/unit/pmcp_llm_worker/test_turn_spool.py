"""The spool: turns come over once memory is back; one it refuses for good does not hold up the others."""

from __future__ import annotations

import pytest

from pmcp_common.contracts.errors import InvalidParams, Unavailable
from pmcp_common.contracts.memories import CommitTurns, Role
from pmcp_llm_worker.turn_spool import flush_once
from tests.unit.pmcp_llm_worker.doubles import Memory, Spool, turn


async def filled() -> Spool:
    spool = Spool()
    for number in range(3):
        await spool.put("local", CommitTurns(turns=(turn(number, Role.USER, f"words {number}"),)))
    return spool


async def test_turns_wait_while_memory_is_away_and_come_over_once() -> None:
    spool, memory = await filled(), Memory()
    memory.commit_failure = Unavailable("away")
    with pytest.raises(Unavailable):
        await flush_once(spool, memory)
    assert len(spool.entries) == 3
    memory.commit_failure = None
    assert await flush_once(spool, memory) == 3
    assert await flush_once(spool, memory) == 0
    assert sorted(memory.rows) == ["old-0", "old-1", "old-2"]


async def test_refused_turns_are_set_aside() -> None:
    spool, memory = await filled(), Memory()
    memory.commit_failure = InvalidParams("no")
    assert await flush_once(spool, memory) == 3
    assert (len(spool.entries), len(spool.refused)) == (0, 3)
