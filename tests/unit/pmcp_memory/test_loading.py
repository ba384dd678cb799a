"""What a large load needs around it: an index that is in its way is dropped, and only then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pmcp_common.contracts.errors import NotFound
from pmcp_common.contracts.memories import MAX_MESSAGES_PER_REMEMBER
from pmcp_common.contracts.saves import SaveRecord, SaveWorld, WorldLoaded
from pmcp_memory.loading import MANY_MEMORIES, Loading
from pmcp_memory.saves_store import Loaded

LEAVING = SaveWorld(save_id="left", player_id="p1", session_id="s1", principal="local")
RECORD = SaveRecord(
    **LEAVING.model_dump(), automatic=False, conversations=0, created_at=datetime(2026, 3, 1, tzinfo=UTC)
)


class Service:
    """Rows, indexes and memory at once: notes what happens, in order."""

    def __init__(self, back: int = 0, hidden: int = 0, not_remembered: Sequence[str] = ()) -> None:
        self.done: list[str] = []
        self._back = back
        self._hidden = hidden
        self._not_remembered = not_remembered
        self.forgotten = False

    async def count_back(self, _tenant: str, _player: str, _save_id: str) -> int:
        return self._back

    async def indexes_of(self, tenant: str, player_id: str) -> list[str]:
        assert (tenant, player_id) == ("local", "p1")
        return ["own"]

    async def idle_indexes(self, exact_memories: int, tenant: str, player_id: str) -> list[str]:
        assert (exact_memories, tenant, player_id) == (20, "local", "p1")
        return ["idle"]

    async def drop_index(self, name: str) -> None:
        self.done.append(f"drop {name}")

    async def load(self, _tenant: str, _save_id: str, _leaving: SaveWorld, _now: datetime) -> Loaded:
        self.done.append("load")
        outcome = WorldLoaded(
            save=RECORD, turns_shown=0, turns_hidden=0, memories_shown=self._back, memories_hidden=self._hidden
        )
        return Loaded(outcome, self._not_remembered)

    async def remember(self, _tenant: str, message_ids: Sequence[str]) -> Any:
        self.done.append(f"remember {' '.join(message_ids)}")
        if self.forgotten:
            raise NotFound("A turn to remember was forgotten")

    def now(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC)


async def load(service: Any) -> WorldLoaded:
    return await Loading(service, service, service, service, exact_memories=20).load("local", "x", LEAVING)


async def test_a_small_load_leaves_the_indexes_alone() -> None:
    service = Service(back=MANY_MEMORIES - 1, hidden=MANY_MEMORIES - 1)
    await load(service)
    assert service.done == ["load"]


async def test_what_comes_back_in_great_number_enters_no_index_of_its_own() -> None:
    service = Service(back=MANY_MEMORIES)
    await load(service)
    assert service.done == ["drop own", "load"]


async def test_an_index_over_what_has_gone_is_dropped() -> None:
    service = Service(hidden=MANY_MEMORIES)
    await load(service)
    assert service.done == ["load", "drop idle"]


async def test_messages_that_come_back_are_remembered_as_many_at_once_as_may_be() -> None:
    many = [f"m{number}" for number in range(MAX_MESSAGES_PER_REMEMBER + 1)]
    service = Service(not_remembered=many)
    assert (await load(service)).save == RECORD
    assert service.done == ["load", f"remember {' '.join(many[:-1])}", f"remember {many[-1]}"]


async def test_messages_that_cannot_be_remembered_do_not_undo_the_load() -> None:
    service = Service(not_remembered=["m1", "m2"])
    service.forgotten = True
    assert (await load(service)).save == RECORD
    assert service.done == ["load", "remember m1 m2"]
