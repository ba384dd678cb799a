"""Personas are fetched once for each version; how they stand is asked each time."""

from __future__ import annotations

import pytest

from pmcp_common.contracts.errors import Unavailable
from pmcp_llm_worker.persona_cache import PersonaCache
from tests.unit.pmcp_llm_worker.doubles import Personas, aria, standing


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
