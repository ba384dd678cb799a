"""state.save, state.load, state.list: a player's world as it was at one moment (docs/decisions/0008).

Two services keep a part each. A save is there once the memory service has its part, which is the last to be written. A
load begins with the personas and ends with the session; one that fails on the way is made good by loading again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import PERSONA_NOT_FOUND, Conflict, DomainError
from pmcp_common.contracts.saves import LoadPersonas, PersonasLoaded, SaveRecord, SaveWorld, WorldLoaded
from pmcp_common.contracts.state_models import (
    SavedState,
    StateChanges,
    StateListItem,
    StateListParams,
    StateListResult,
    StateLoadParams,
    StateLoadResult,
    StateSaveParams,
    StateSaveResult,
)
from pmcp_gateway.methods.call import Call, Services
from pmcp_gateway.methods.settling import RETRY_AFTER_SECONDS, settle
from pmcp_gateway.timestamps import timestamp


async def save(services: Services, call: Call, params: StateSaveParams) -> dict[str, Any]:
    player = call.player(params.player_id)
    async with _alone(services, call, player, "save"):
        await settle(services, call.tenant, player, await _conversations(services, call, player))
        wanted = await _world(services, call, player, params.label)
        await services.saves.save_personas(call.tenant, wanted.save_id, player)
        record = await services.saves.save_world(call.tenant, wanted)
    return StateSaveResult(
        state_saved=True, state=_state(call, record), save_id=record.save_id, label=record.label
    ).model_dump(mode="json")


async def load(services: Services, call: Call, params: StateLoadParams) -> dict[str, Any]:
    player = call.player(params.player_id)
    async with _alone(services, call, player, "load"):
        record = await services.saves.find(call.tenant, player, params.save_id)
        conversations = await _conversations(services, call, player)
        if await services.underway.replies(call.tenant, conversations):
            raise Conflict("A reply to this player is on its way", retry_after=RETRY_AFTER_SECONDS)
        await settle(services, call.tenant, player, conversations)
        leaving = await _world(services, call, player, "")
        told = LoadPersonas(player_id=player, leaving_id=leaving.save_id)
        personas = await services.saves.load_personas(call.tenant, record.save_id, told)
        world = await services.saves.load_world(call.tenant, record.save_id, leaving)
        persona_id = await _choose(services, call, record, player)
    return StateLoadResult(
        state_loaded=True,
        current_persona_id=persona_id,
        current_conversation_id=persona_id and keys.conversation_id(call.tenant, persona_id, player),
        save_id=record.save_id,
        label=record.label,
        saved_at=timestamp(record.created_at),
        active_conversations=record.conversations,
        left_save_id=leaving.save_id,
        changes=_changes(world, personas),
        timestamp=services.stamps.now(),
    ).model_dump(mode="json")


async def list_saves(services: Services, call: Call, params: StateListParams) -> dict[str, Any]:
    found = await services.saves.list(call.tenant, call.player(params.player_id), params.limit)
    return StateListResult(saves=[_item(record) for record in found], count=len(found)).model_dump(mode="json")


@asynccontextmanager
async def _alone(services: Services, call: Call, player: str, why: str) -> AsyncIterator[None]:
    """One save or load of a player at a time, on all gateways."""
    holder = f"{why}:{services.new_id()}"
    if not await services.underway.hold(call.tenant, player, holder):
        raise Conflict("Another save or load of this player is under way", retry_after=RETRY_AFTER_SECONDS)
    try:
        yield
    finally:
        await services.underway.release(call.tenant, player, holder)


async def _conversations(services: Services, call: Call, player: str) -> list[str]:
    personas = await services.personas.list(call.tenant, player)
    return [keys.conversation_id(call.tenant, view.persona.id, player) for view in personas]


async def _world(services: Services, call: Call, player: str, label: str) -> SaveWorld:
    session = await services.sessions.get(call.tenant, call.session_id)
    return SaveWorld(
        save_id=services.new_id(),
        player_id=player,
        session_id=call.session_id,
        principal=call.principal,
        persona_id=session.persona_id if session else None,
        persona_name=session.persona_name if session else None,
        label=label,
    )


async def _choose(services: Services, call: Call, record: SaveRecord, player: str) -> str | None:
    """The session talks to whom it talked then, also when that persona rests just now."""
    session = call.connection.session
    if record.persona_id is not None:
        try:
            persona = (await services.personas.get(call.tenant, record.persona_id, player)).persona
        except DomainError as error:
            if error.row is not PERSONA_NOT_FOUND:
                raise
        else:
            await services.sessions.set_persona(session, persona.id, persona.name)
            return persona.id
    await services.sessions.leave_persona(session)
    return None


def _state(call: Call, record: SaveRecord) -> SavedState:
    persona_id = record.persona_id
    return SavedState(
        current_persona_id=persona_id,
        current_conversation_id=persona_id and keys.conversation_id(call.tenant, persona_id, record.player_id),
        active_conversations=record.conversations,
        timestamp=timestamp(record.created_at),
    )


def _changes(world: WorldLoaded, personas: PersonasLoaded) -> StateChanges:
    return StateChanges(
        turns_shown=world.turns_shown,
        turns_hidden=world.turns_hidden,
        memories_shown=world.memories_shown,
        memories_hidden=world.memories_hidden,
        interaction_states=personas.interaction_states,
        relationships=personas.relationships,
        emotions=personas.emotions,
    )


def _item(record: SaveRecord) -> StateListItem:
    return StateListItem(
        save_id=record.save_id,
        label=record.label,
        automatic=record.automatic,
        saved_at=timestamp(record.created_at),
        current_persona_id=record.persona_id,
        current_persona_name=record.persona_name,
        active_conversations=record.conversations,
    )
