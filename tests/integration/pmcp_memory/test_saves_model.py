"""Random lives of a world, step by step beside a model of what it should be: whatever is said, remembered late, edited,
pruned, forgotten, saved and loaded, both have the same messages and memories."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field

import pytest

from tests.integration.pmcp_memory.conftest import Service
from tests.integration.pmcp_memory.test_saves import edit, forget, store, world

STEPS = 80
STEP_KINDS = ["say", "say", "remember", "remember", "store", "edit", "prune", "save", "load", "load", "forget"]


@dataclass
class Moment:
    said: dict[str, str] = field(default_factory=dict)
    """Message id → text."""
    known: dict[str, str] = field(default_factory=dict)
    """Memory → text; of a message under the message's id."""


@dataclass
class Model:
    """What should be there. Memories of messages are named by them."""

    now: Moment = field(default_factory=Moment)
    saves: dict[str, Moment] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)
    """Messages of which a memory was made once: it is not made again."""

    def every(self) -> list[Moment]:
        return [self.now, *self.saves.values()]

    def remember(self, message_id: str, text: str) -> None:
        self.tried.add(message_id)
        for moment in self.every():
            if message_id in moment.said:
                moment.known[message_id] = text

    def load(self, save_id: str, leaving: str) -> None:
        before, self.saves[leaving] = self.now, self.now
        self.now = copy.deepcopy(self.saves[save_id])
        for message_id in self.now.said.keys() - before.said.keys() - self.tried:
            self.remember(message_id, self.now.said[message_id])

    def forget(self, name: str) -> None:
        for moment in self.every():
            moment.said.pop(name, None)
            moment.known.pop(name, None)


class Life:
    def __init__(self, service: Service, seed: int) -> None:
        self.service = service
        self.model = Model()
        self.chance = random.Random(seed)
        self._texts = 0

    def text(self) -> str:
        self._texts += 1
        return f"I own the thing number {self._texts}, which is like no other"

    async def id_of(self, name: str) -> str:
        query = "SELECT id FROM memory.memories WHERE id = $1 OR $1 = ANY (source_message_ids)"
        found: str = await self.service.rows.fetchval(query, name)
        return found

    async def step(self) -> str:
        kind = self.chance.choice(STEP_KINDS)
        await getattr(self, f"_{kind}")()
        return kind

    async def _say(self) -> None:
        turn = self.service.turn(self.text())
        await self.service.commit(turn)
        self.model.now.said[turn["message_id"]] = turn["content"]

    async def _remember(self) -> None:
        if new := sorted(self.model.now.said.keys() - self.model.tried):
            message_id = self.chance.choice(new)
            answer = await self.service.remember({"message_id": message_id})
            assert answer.status_code == 200
            self.model.remember(message_id, self.model.now.said[message_id])

    async def _store(self) -> None:
        text = self.text()
        (memory_id,) = await store(self.service, text)
        self.model.now.known[memory_id] = text

    async def _edit(self) -> None:
        if name := self._some_memory():
            text = self.text()
            await edit(self.service, await self.id_of(name), content=text)
            self.model.now.known[name] = text
            if name in self.model.now.said:
                self.model.now.said[name] = text

    async def _prune(self) -> None:
        if name := self._some_memory():
            await self.service.rows.execute("DELETE FROM memory.memories WHERE id = $1", await self.id_of(name))
            del self.model.now.known[name]

    async def _forget(self) -> None:
        if (name := self._some_memory()) and self.chance.random() < 0.4:
            await forget(self.service, await self.id_of(name))
            self.model.forget(name)

    async def _save(self) -> None:
        body = world()
        assert (await self.service.http.post("/v1/local/saves", json=body)).status_code == 201
        self.model.saves[body["save_id"]] = copy.deepcopy(self.model.now)

    async def _load(self) -> None:
        if not self.model.saves:
            return
        save_id, leaving = self.chance.choice(sorted(self.model.saves)), world()
        answer = await self.service.http.post(f"/v1/local/saves/{save_id}/load", json={"leaving": leaving})
        # Of those that loads have made, only the newest stay.
        if answer.status_code == 404:
            del self.model.saves[save_id]
            return
        assert answer.status_code == 200, answer.text
        self.model.load(save_id, leaving["save_id"])

    def _some_memory(self) -> str | None:
        return self.chance.choice(sorted(self.model.now.known)) if self.model.now.known else None

    async def check(self, history: list[str]) -> None:
        rows = self.service.rows
        said = await rows.fetch("SELECT message_id, content FROM memory.turns WHERE player_id = 'p1'")
        known = await rows.fetch("SELECT content FROM memory.memories WHERE player_id = 'p1'")
        assert {row["message_id"]: row["content"] for row in said} == self.model.now.said, history
        assert sorted(row["content"] for row in known) == sorted(self.model.now.known.values()), history


@pytest.mark.parametrize("seed", range(6))
async def test_a_life_is_as_its_model(service: Service, seed: int) -> None:
    life, history = Life(service, seed), list[str]()
    for _ in range(STEPS):
        history.append(await life.step())
        await life.check(history)
    # At the end every save is looked at once more.
    for save_id in sorted(life.model.saves):
        leaving = world()
        answer = await try_load_as(service, save_id, leaving["save_id"])
        if answer:
            life.model.load(save_id, leaving["save_id"])
            await life.check([*history, save_id])


async def try_load_as(service: Service, save_id: str, leaving: str) -> bool:
    body = {"leaving": {**world(), "save_id": leaving}}
    return (await service.http.post(f"/v1/local/saves/{save_id}/load", json=body)).status_code == 200
