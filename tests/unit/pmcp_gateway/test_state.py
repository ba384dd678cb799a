"""state.save and state.load: in which order the parts are asked, what is waited for, and what is refused."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from pmcp_common.contracts.errors import Conflict, DomainError, RemoteError, Unavailable
from pmcp_common.contracts.saves import LoadPersonas, PersonasLoaded, PersonasSaved, SaveRecord, SaveWorld, WorldLoaded
from pmcp_common.contracts.state_models import StateLoadParams, StateSaveParams
from pmcp_gateway.methods import state
from pmcp_gateway.methods.call import Call
from pmcp_gateway.stores import Session

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def record(save_id: str, persona_id: str | None = "aria") -> SaveRecord:
    return SaveRecord(
        save_id=save_id,
        player_id="p1",
        session_id="s1",
        principal="local",
        persona_id=persona_id,
        persona_name="Aria",
        label="",
        automatic=False,
        conversations=1,
        created_at=NOW,
    )


class World:
    """Both services, Redis and the session at once: notes who was asked, in order."""

    keep_seconds = 1

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.busy: list[str] = []
        """What is under way: each name once for each look."""
        self.held = False
        self.persona_there = True
        self.failing: str | None = None

    def _ask(self, name: str) -> None:
        self.asked.append(name)
        if name == self.failing:
            raise Unavailable("away")

    def _is_busy(self, name: str) -> bool:
        found = name in self.busy
        if found:
            self.busy.remove(name)
        return found

    async def save_personas(self, _tenant: str, _save_id: str, _player: str) -> PersonasSaved:
        self._ask("save personas")
        return PersonasSaved(interaction_states=0, relationships=0, emotions=0)

    async def save_world(self, _tenant: str, world: SaveWorld) -> SaveRecord:
        self._ask("save world")
        return record(world.save_id, world.persona_id)

    async def find(self, _tenant: str, _player: str, save_id: str | None) -> SaveRecord:
        self._ask("find")
        return record(save_id or "newest")

    async def load_personas(self, _tenant: str, _save_id: str, _told: LoadPersonas) -> PersonasLoaded:
        self._ask("load personas")
        return PersonasLoaded(interaction_states=1, relationships=2, emotions=3)

    async def load_world(self, _tenant: str, save_id: str, _leaving: SaveWorld) -> WorldLoaded:
        self._ask("load world")
        return WorldLoaded(save=record(save_id), turns_shown=1, turns_hidden=2, memories_shown=3, memories_hidden=4)

    async def list(self, _tenant: str, _player: str) -> tuple[Any, ...]:
        return (SimpleNamespace(persona=SimpleNamespace(id="aria")),)

    async def get(self, *_names: str) -> Any:
        if isinstance(_names[-1], str) and len(_names) == 2:
            return Session("local", "s1", "local", "then", persona_id="kira", persona_name="Kira")
        if not self.persona_there:
            raise RemoteError(-32000, "Persona not found: aria")
        return SimpleNamespace(persona=SimpleNamespace(id="aria", name="Aria"))

    async def set_persona(self, _session: Session, persona_id: str, _name: str) -> None:
        self._ask(f"choose {persona_id}")

    async def leave_persona(self, _session: Session) -> None:
        self._ask("choose nobody")

    async def replies(self, _tenant: str, conversation_ids: Collection[str]) -> bool:
        assert len(conversation_ids) == 1
        return self._is_busy("reply")

    async def effects(self, _tenant: str, _conversation_ids: Collection[str]) -> bool:
        return self._is_busy("effects")

    async def owed(self, _tenant: str, _player: str) -> bool:
        return self._is_busy("owed")

    async def hold(self, _tenant: str, _player: str, _holder: str) -> bool:
        was, self.held = self.held, True
        return not was

    async def release(self, _tenant: str, _player: str, _holder: str) -> None:
        self.held = False


class Clock:
    """A second passes at each look."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        self._seconds += 1.0
        return self._seconds


@pytest.fixture
def world() -> World:
    return World()


def services(world: World) -> Any:
    return SimpleNamespace(
        saves=world,
        personas=world,
        sessions=world,
        underway=world,
        clock=Clock(),
        stamps=SimpleNamespace(now=lambda: "now"),
        new_id=lambda: "fresh",
    )


def call() -> Call:
    connection: Any = SimpleNamespace(session=Session("local", "s1", "local", "then"))
    return Call(connection, 1, "state.save", "r1")


async def save(world: World) -> dict[str, Any]:
    return await state.save(services(world), call(), StateSaveParams(player_id="p1"))


async def load(world: World) -> dict[str, Any]:
    return await state.load(services(world), call(), StateLoadParams(player_id="p1", save_id="x"))


async def test_the_memory_services_part_is_saved_last_for_it_counts(world: World) -> None:
    result = await save(world)
    assert world.asked == ["save personas", "save world"]
    assert (result["save_id"], result["state"]["current_persona_id"]) == ("fresh", "kira")


async def test_a_save_whose_first_part_fails_is_none(world: World) -> None:
    world.failing = "save personas"
    with pytest.raises(Unavailable):
        await save(world)
    assert world.asked == ["save personas"]
    assert not world.held


async def test_a_load_looks_first_and_chooses_the_persona_last(world: World) -> None:
    result = await load(world)
    assert world.asked == ["find", "load personas", "load world", "choose aria"]
    assert result["left_save_id"] == "fresh"
    assert list(result["changes"].values()) == [1, 2, 3, 4, 1, 2, 3]


async def test_a_save_that_is_not_there_changes_nothing(world: World) -> None:
    world.failing = "find"
    with pytest.raises(DomainError):
        await load(world)
    assert world.asked == ["find"]
    assert not world.held


async def test_a_load_that_fails_between_its_parts_is_made_good_by_another(world: World) -> None:
    world.failing = "load world"
    with pytest.raises(Unavailable):
        await load(world)
    world.failing = None
    assert (await load(world))["state_loaded"] is True


async def test_the_session_talks_to_nobody_when_the_persona_is_gone(world: World) -> None:
    world.persona_there = False
    result = await load(world)
    assert (result["current_persona_id"], result["current_conversation_id"]) == (None, None)
    assert world.asked[-1] == "choose nobody"


async def test_no_load_while_a_reply_is_on_its_way_but_a_save(world: World) -> None:
    world.busy = ["reply"]
    await save(world)
    with pytest.raises(Conflict):
        await load(world)
    assert "load personas" not in world.asked


@pytest.mark.parametrize("what", ["effects", "owed"])
async def test_what_settles_soon_is_waited_for(world: World, what: str) -> None:
    world.busy = [what]
    await save(world)
    assert world.busy == []


async def test_messages_that_are_owed_to_the_database_are_never_left_out_of_a_save(world: World) -> None:
    world.busy = ["owed"] * 10
    with pytest.raises(Unavailable, match="not stored yet"):
        await save(world)
    assert world.asked == []


async def test_feelings_that_take_long_do_not_hold_a_save_up_for_ever(world: World) -> None:
    world.busy = ["effects"] * 10
    assert (await save(world))["state_saved"] is True


async def test_one_save_or_load_of_a_player_at_a_time(world: World) -> None:
    world.held = True
    for one in (save, load):
        with pytest.raises(Conflict, match="under way"):
            await one(world)
    assert world.held, "it is still the other's"
