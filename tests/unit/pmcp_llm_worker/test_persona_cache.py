"""Personas are fetched once for each version; how they stand is asked each time."""

from __future__ import annotations

import pytest

from pmcp_common.contracts.errors import (
    PERSONA_NOT_FOUND,
    UNAVAILABLE,
    DomainError,
    PersonaNotFound,
    RemoteError,
    Unavailable,
)
from pmcp_common.contracts.personas import Persona
from pmcp_llm_worker.persona_cache import PersonaCache
from tests.unit.pmcp_llm_worker.doubles import TENANT, Personas, aria, standing


async def test_a_known_version_is_not_sent_again() -> None:
    peer = Personas()
    cache = PersonaCache(peer)
    first, _ = await cache.for_turn("local", "p-aria", "player")
    peer.state = standing(social_energy=7)
    again, state = await cache.for_turn("local", "p-aria", "player")
    assert peer.known_versions == [None, 1]
    assert again is first
    assert state is not None
    assert state.social_energy == 7


async def test_a_new_version_replaces_the_old_one() -> None:
    peer = Personas()
    cache = PersonaCache(peer)
    await cache.for_turn("local", "p-aria", "player")
    peer.persona = aria(version=2, description="Aria has changed.")
    persona, _ = await cache.for_turn("local", "p-aria", "player")
    assert persona.version == 2


async def test_another_tenants_persona_of_the_same_id_is_another() -> None:
    peer = Personas()
    cache = PersonaCache(peer)
    await cache.for_turn("local", "p-aria", "player")
    await cache.for_turn("other", "p-aria", "player")
    assert peer.known_versions == [None, None]


async def test_the_cache_is_bounded() -> None:
    peer = Personas()
    cache = PersonaCache(peer, max_personas=2)
    for tenant in ("a", "b", "c", "a"):
        await cache.for_turn(tenant, "p-aria", "player")
    assert peer.known_versions == [None] * 4


async def test_a_service_that_is_away_is_a_failure_for_unknown_personas_only() -> None:
    peer = Personas()
    cache = PersonaCache(peer)
    peer.failure = Unavailable("away")
    with pytest.raises(Unavailable):
        await cache.for_turn("local", "p-aria", "player")
    peer.failure = None
    await cache.for_turn("local", "p-aria", "player")
    peer.failure = Unavailable("away")
    persona, state = await cache.for_turn("local", "p-aria", "player")
    assert persona.name == "Aria"
    assert state is None


class Shelf:
    def __init__(self) -> None:
        self.copies: dict[tuple[str, str], Persona] = {}
        self.puts = 0
        self.failure: DomainError | None = None

    def _fail(self) -> None:
        if self.failure:
            raise self.failure

    async def put(self, tenant: str, persona: Persona) -> None:
        self._fail()
        self.puts += 1
        self.copies[tenant, persona.id] = persona

    async def get(self, tenant: str, persona_id: str) -> Persona | None:
        self._fail()
        return self.copies.get((tenant, persona_id))

    async def drop(self, tenant: str, persona_id: str) -> None:
        self._fail()
        self.copies.pop((tenant, persona_id), None)


async def test_a_worker_that_never_met_the_persona_takes_the_copy_of_another() -> None:
    peer, shelf = Personas(), Shelf()
    await PersonaCache(peer, shelf).for_turn(TENANT, "p-aria", "player")
    peer.failure = Unavailable("away")
    persona, state = await PersonaCache(peer, shelf).for_turn(TENANT, "p-aria", "player")
    assert (persona.name, state) == ("Aria", None)


async def test_a_copy_is_shelved_once_for_each_version() -> None:
    peer, shelf = Personas(), Shelf()
    cache = PersonaCache(peer, shelf)
    for _ in range(3):
        await cache.for_turn(TENANT, "p-aria", "player")
    peer.persona = aria(version=2)
    await cache.for_turn(TENANT, "p-aria", "player")
    assert shelf.puts == 2


async def test_a_deleted_persona_leaves_no_copy() -> None:
    peer, shelf = Personas(), Shelf()
    cache = PersonaCache(peer, shelf)
    await cache.for_turn(TENANT, "p-aria", "player")
    peer.persona = None
    with pytest.raises(PersonaNotFound):
        await cache.for_turn(TENANT, "p-aria", "player")
    assert shelf.copies == {}
    assert cache.known(TENANT, "p-aria") is None


async def test_a_shelf_that_is_away_costs_no_reply() -> None:
    peer, shelf = Personas(), Shelf()
    shelf.failure = Unavailable("away")
    persona, _ = await PersonaCache(peer, shelf).for_turn(TENANT, "p-aria", "player")
    assert persona.name == "Aria"


@pytest.mark.parametrize("code", [UNAVAILABLE.code, PERSONA_NOT_FOUND.code])
async def test_what_the_service_says_itself_counts_as_much_as_its_silence(code: int) -> None:
    peer, shelf = Personas(), Shelf()
    cache = PersonaCache(peer, shelf)
    await cache.for_turn(TENANT, "p-aria", "player")
    peer.failure = RemoteError(code, "as the service says")
    if code == UNAVAILABLE.code:
        assert (await cache.for_turn(TENANT, "p-aria", "player"))[1] is None
    else:
        with pytest.raises(RemoteError):
            await cache.for_turn(TENANT, "p-aria", "player")
        assert shelf.copies == {}
