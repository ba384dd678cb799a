"""The spool: turns come over once memory is back; one it refuses or fails at does not hold up the others."""

from __future__ import annotations

import pytest

from pmcp_common.contracts.errors import InternalError, InvalidParams, MemoryFailed, RemoteError, Unavailable
from pmcp_common.contracts.memories import CommitTurns, Role, Turn
from pmcp_llm_worker.turn_spool import MAX_TRIES, MAX_TRY_SECONDS, flush_once
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


class FailsAt(Memory):
    """A memory service with a fault of its own at some turns."""

    def __init__(self, *message_ids: str) -> None:
        super().__init__()
        self.faulty = message_ids
        self.tried: list[str] = []

    async def commit(self, tenant: str, turns: CommitTurns) -> int:
        self.tried += [row.message_id for row in turns.turns]
        if any(row.message_id in self.faulty for row in turns.turns):
            raise RemoteError(InternalError.row.code, "The service answered with status 500", status=500)
        return await super().commit(tenant, turns)


def words(number: int, conversation: str) -> CommitTurns:
    said = turn(number, Role.USER, f"words {number}")
    return CommitTurns(turns=(Turn(**{**said.model_dump(), "conversation_id": conversation}),))


async def two_conversations() -> Spool:
    spool = Spool()
    for number, conversation in enumerate(("conv_a", "conv_b", "conv_a", "conv_b")):
        await spool.put("local", words(number, conversation))
    return spool


async def test_turns_the_service_fails_at_hold_up_their_own_conversation_only() -> None:
    spool, memory = await two_conversations(), FailsAt("old-0")
    assert await flush_once(spool, memory) == 2
    assert memory.tried == ["old-0", "old-1", "old-3"]
    assert await flush_once(spool, memory) == 0
    assert [entry.turns.turns[0].message_id for entry in spool.entries] == ["old-0", "old-2"]


async def test_after_enough_tries_and_time_they_are_set_aside_and_the_others_follow() -> None:
    spool, memory = await two_conversations(), FailsAt("old-0")
    for _ in range(MAX_TRIES + 1):
        await flush_once(spool, memory)
    assert spool.refused == []  # many workers may try within seconds
    spool.seconds = MAX_TRY_SECONDS
    assert await flush_once(spool, memory) == 2
    assert [entry.turns.turns[0].message_id for entry in spool.refused] == ["old-0"]
    assert sorted(memory.rows) == ["old-1", "old-2", "old-3"]


async def test_time_alone_does_not_set_them_aside() -> None:
    spool, memory = await two_conversations(), FailsAt("old-0")
    spool.seconds = 10 * MAX_TRY_SECONDS
    for _ in range(MAX_TRIES - 1):
        await flush_once(spool, memory)
    assert spool.refused == []


@pytest.mark.parametrize("failure", [Unavailable("away"), MemoryFailed("busy"), RemoteError(-32010, "late")])
async def test_a_service_that_is_away_busy_or_slow_has_not_failed_at_an_entry(failure: Exception) -> None:
    spool, memory = await filled(), Memory()
    memory.commit_failure = failure  # type: ignore[assignment]
    spool.seconds = 10 * MAX_TRY_SECONDS
    for _ in range(2 * MAX_TRIES):
        with pytest.raises(type(failure)):
            await flush_once(spool, memory)
    assert (len(spool.entries), spool.refused, spool.tries) == (3, [], {})
