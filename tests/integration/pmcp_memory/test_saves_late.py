"""Messages that were put away before a memory was made of them: they belong to their moment, however late."""

from __future__ import annotations

from pmcp_common.contracts.memories import MAX_MESSAGES_PER_REMEMBER
from tests.integration.pmcp_memory.conftest import Service
from tests.integration.pmcp_memory.test_saves import load, remembered, save


async def test_a_message_that_is_remembered_late_belongs_to_its_moment(service: Service) -> None:
    first = service.turn("I own a red horse")
    await service.commit(first)
    early = await save(service)
    second = service.turn("I own a blue boat")
    await service.commit(second)
    late = await save(service)
    await service.remember(first, second)

    await load(service, early)
    assert await remembered(service) == {"I own a red horse"}
    await load(service, late)
    assert await remembered(service) == {"I own a red horse", "I own a blue boat"}


async def test_a_message_that_came_back_before_it_was_remembered_is_remembered_in_both_worlds(service: Service) -> None:
    nothing = await save(service)
    turn = service.turn("I own a red horse")
    await service.commit(turn)
    one = await save(service)
    await load(service, nothing)
    assert (await service.remember(turn)).status_code == 404
    # It comes back, and is remembered by the way.
    await load(service, one)
    assert await remembered(service) == {"I own a red horse"}
    await load(service, nothing)
    await load(service, one)
    assert await remembered(service) == {"I own a red horse"}


async def test_all_that_came_back_is_remembered_behind_however_much_filler(service: Service) -> None:
    """Nothing is made of filler, so that it is among the messages without a memory at every load."""
    nothing = await save(service)
    await service.learn("I own a red horse")
    filler = MAX_MESSAGES_PER_REMEMBER - 1
    for number in range(3):
        boat = service.turn(f"I own the boat number {number}")
        await service.commit(*(service.turn("ok") for _ in range(filler)), boat)
    late = await save(service)
    await load(service, nothing)
    await load(service, late)
    rows = await service.rows.fetch("SELECT content, ordinal FROM memory.memories ORDER BY ordinal")
    assert [tuple(row) for row in rows] == [
        ("I own a red horse", 1),
        *((f"I own the boat number {number}", (filler + 1) * (number + 1) + 1) for number in range(3)),
    ]
