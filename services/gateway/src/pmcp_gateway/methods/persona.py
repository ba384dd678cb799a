"""persona.list, persona.switch, persona.status: the persona service's word, in the shape existing clients read."""

from __future__ import annotations

from typing import Any

from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import DomainError, PersonaUnavailable
from pmcp_common.contracts.method_models import OfPlayer
from pmcp_common.contracts.persona_choice_models import (
    PersonaListItem,
    PersonaListResult,
    PersonaStatusParams,
    PersonaStatusPersona,
    PersonaStatusResult,
    PersonaStatusState,
    PersonaSwitchParams,
    PersonaSwitchResult,
)
from pmcp_common.contracts.personas import PersonaView
from pmcp_gateway.methods.call import Call, Services
from pmcp_gateway.timestamps import timestamp


async def list_personas(services: Services, call: Call, params: OfPlayer) -> dict[str, Any]:
    views = await services.personas.list(call.tenant, call.player(params.player_id))
    return PersonaListResult(
        personas=[_item(view) for view in views],
        total_count=len(views),
        available_count=sum(view.interaction_state.is_available for view in views),
    ).model_dump(mode="json")


def _item(view: PersonaView) -> PersonaListItem:
    persona, state = view.persona, view.interaction_state
    return PersonaListItem(
        id=persona.id,
        name=persona.name,
        description=persona.description,
        available=state.is_available,
        social_energy=state.social_energy,
        current_priority=state.current_priority.value,
        cooldown_remaining=state.cooldown_remaining,
        personality_traits=persona.personality_traits,
        created_at=timestamp(persona.created_at),
    )


async def switch(services: Services, call: Call, params: PersonaSwitchParams) -> dict[str, Any]:
    player = call.player(params.player_id)
    view = await services.personas.get(call.tenant, params.persona_id, player)
    persona, state = view.persona, view.interaction_state
    if not state.is_available:
        raise PersonaUnavailable(
            persona.name,
            persona_id=persona.id,
            cooldown_remaining=state.cooldown_remaining,
            social_energy=state.social_energy,
            available_time=state.available_time,
        )
    await services.sessions.set_persona(call.connection.session, persona.id, persona.name)
    return PersonaSwitchResult(
        persona_id=persona.id,
        name=persona.name,
        description=persona.description,
        status="active",
        social_energy=state.social_energy,
        available_time=state.available_time,
        current_priority=state.current_priority.value,
        message=f"Switched to {persona.name}",
        session_id=call.session_id,
        conversation_id=keys.conversation_id(call.tenant, persona.id, player),
    ).model_dump(mode="json")


async def status(services: Services, call: Call, params: PersonaStatusParams) -> dict[str, Any]:
    player = call.player(params.player_id)
    view = await services.personas.get(call.tenant, params.persona_id or call.persona_id or "", player)
    persona, state = view.persona, view.interaction_state
    return PersonaStatusResult(
        persona=PersonaStatusPersona.model_validate(persona.model_dump(include=set(PersonaStatusPersona.model_fields))),
        interaction_state=PersonaStatusState.model_validate(
            state.model_dump(mode="json", include=set(PersonaStatusState.model_fields))
        ),
        memory_stats=await _memory_stats(services, call, persona.id, player),
    ).model_dump(mode="json")


async def _memory_stats(services: Services, call: Call, persona_id: str, player: str) -> dict[str, Any]:
    """A persona's status is worth having without its memories' figures; that they are missing is said."""
    try:
        stats = await services.memories.stats(call.tenant, persona_id, player)
    except DomainError as error:
        return {"error": error.message}
    return stats.model_dump(mode="json", exclude_none=True)
