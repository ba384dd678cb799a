"""A rename or deletion that another process announced is known here at once, not only when a name's life ends."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from pmcp_common.clock import SystemClock
from pmcp_common.contracts import keys
from pmcp_common.contracts.personas import InteractionState, Persona, PersonaView
from pmcp_gateway.methods.persona_names import PersonaNames
from pmcp_gateway.persona_changes_redis import follow_changes

THEN = datetime(2026, 3, 1, tzinfo=UTC)


class Personas:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get(self, tenant: str, reference: str, player_id: str) -> PersonaView:
        self.asked.append(reference)
        persona = Persona(id=f"id-{reference.lower()}", version=1, name=reference, created_at=THEN)
        return PersonaView(persona=persona, interaction_state=InteractionState(is_available=True, last_updated=THEN))


class Names(PersonaNames):
    """Says when it was told something."""

    def __init__(self, personas: Any) -> None:
        super().__init__(personas, SystemClock())
        self.subscribed = asyncio.Event()
        self.told = asyncio.Event()

    def doubt_all(self) -> None:
        super().doubt_all()
        self.subscribed.set()

    def forget(self, tenant: str, persona_id: str) -> None:
        super().forget(tenant, persona_id)
        self.told.set()


async def test_an_announced_change_forgets_the_name(valkey_url: str, redis: Redis) -> None:
    personas = Personas()
    names = Names(personas)
    following = asyncio.create_task(follow_changes(valkey_url, names))
    async with asyncio.timeout(5):
        await names.subscribed.wait()
        await names.resolve("local", "Aria", "p")
        await names.resolve("local", "aria", "p")
        assert personas.asked == ["Aria"]
        await redis.publish(keys.PERSONA_CHANNEL, "local/id-aria")
        await names.told.wait()
        await names.resolve("local", "Aria", "p")
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert personas.asked == ["Aria", "Aria"]
