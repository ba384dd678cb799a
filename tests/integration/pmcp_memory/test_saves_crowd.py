"""A player's world under many hands: writers, savers and loaders at once, and nobody is in another's way for good."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from tests.integration.pmcp_memory.conftest import Service
from tests.integration.pmcp_memory.test_saves import OWNER, load, remembered, save, store, try_load, world


async def test_writers_savers_and_loaders_do_not_block_each_other(service: Service) -> None:
    chance = random.Random(1)
    ids = await store(service, *(f"I own the thing number {number}" for number in range(30)))
    saves = [await save(service)]
    answers: Counter[int] = Counter()

    async def write(number: int) -> None:
        for step in range(8):
            turn = service.turn(f"I own a thing of kind {number} and {step}")
            answers[(await service.commit(turn)).status_code] += 1
            answers[(await service.remember(turn)).status_code] += 1

    async def change() -> None:
        for step in range(12):
            body = {**OWNER, "importance": step / 12, "content": f"I own a changed thing, {chance.random()}"}
            path = f"/v1/local/memories/{chance.choice(ids)}"
            answers[(await service.http.patch(path, json=body)).status_code] += 1

    async def look() -> None:
        for _ in range(10):
            await remembered(service)

    async def come_and_go() -> None:
        for _ in range(8):
            body = world()
            answers[(await service.http.post("/v1/local/saves", json=body)).status_code] += 1
            saves.append(body["save_id"])
            answers[(await try_load(service, chance.choice(saves))).status_code] += 1

    async with asyncio.timeout(60):
        await asyncio.gather(*(write(number) for number in range(4)), change(), change(), look(), come_and_go())
    # A message that a load has put away is not there to be remembered, nor is a memory to be edited.
    assert answers.keys() <= {200, 201, 404, 409}
    await load(service, saves[0])
    assert await service.rows.fetchval("SELECT count(*) FROM memory.turns") == 0
    texts = await service.rows.fetch("SELECT content FROM memory.memories WHERE player_id = 'p1'")
    assert sorted(text for (text,) in texts) == sorted(f"I own the thing number {number}" for number in range(30))
