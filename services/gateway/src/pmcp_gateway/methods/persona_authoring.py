"""persona.get, create, update and delete: who a persona is, as its author and its readers see it."""

from __future__ import annotations

import asyncio
from typing import Any

from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.persona_models import (
    PersonaCreateParams,
    PersonaCreateResult,
    PersonaDeleteParams,
    PersonaDeleteResult,
    PersonaGetParams,
    PersonaGetResult,
    PersonaMemoryFigures,
    PersonaProfile,
    PersonaUpdateParams,
    PersonaUpdateResult,
)
from pmcp_gateway.methods.call import Call, Services
from pmcp_gateway.timestamps import timestamp


async def get(services: Services, call: Call, params: PersonaGetParams) -> dict[str, Any]:
    player = call.player(params.player_id)
    persona = (await services.personas.get(call.tenant, params.persona_id, player)).persona
    known, memories = await asyncio.gather(
        services.personas.relationship_with_player(call.tenant, persona.id, player),
        _count_memories(services, call, persona.id, player),
    )
    fields = persona.model_dump(mode="json")
    return PersonaGetResult(
        persona=PersonaProfile(
            **{
                name: fields[name] for name in PersonaProfile.model_fields if name not in ("created_at", "memory_stats")
            },
            created_at=timestamp(persona.created_at),
            memory_stats=PersonaMemoryFigures(total_memories=memories, recent_interactions=known.recent_interactions),
        )
    ).model_dump(mode="json")


async def _count_memories(services: Services, call: Call, persona_id: str, player: str) -> int | None:
    """A persona is worth having without this figure; None says that it is missing."""
    try:
        return (await services.memories.stats(call.tenant, persona_id, player)).total_memories
    except DomainError:
        return None


async def create(services: Services, call: Call, params: PersonaCreateParams) -> dict[str, Any]:
    persona = await services.personas.create(call.tenant, params.draft())
    return PersonaCreateResult(
        persona_id=persona.id,
        name=persona.name,
        created=True,
        version=persona.version,
        message=f"Created {persona.name}",
    ).model_dump(mode="json")


async def update(services: Services, call: Call, params: PersonaUpdateParams) -> dict[str, Any]:
    persona = await services.personas.update(call.tenant, params.persona_id, params.change())
    services.names.forget(call.tenant, persona.id)
    session = await services.sessions.get(call.tenant, call.session_id)
    if session is not None and session.persona_id == persona.id and session.persona_name != persona.name:
        await services.sessions.set_persona(call.connection.session, persona.id, persona.name)
    return PersonaUpdateResult(
        persona_id=persona.id,
        name=persona.name,
        updated=True,
        version=persona.version,
        message=f"Updated {persona.name}",
    ).model_dump(mode="json")


async def delete(services: Services, call: Call, params: PersonaDeleteParams) -> dict[str, Any]:
    deleted = await services.personas.delete(call.tenant, params.persona_id)
    services.names.forget(call.tenant, deleted.persona_id)
    return PersonaDeleteResult(
        persona_id=deleted.persona_id, name=deleted.name, deleted=True, message=f"Deleted {deleted.name}"
    ).model_dump(mode="json")
