"""memory.list, get, edit, pin, merge, forget, export, erase: a player looks into what is kept of it, and changes it.

The memory service says what a player may see and change; here, names become ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pmcp_common.contracts.conversations import Forgotten
from pmcp_common.contracts.memory_life import EditMemory, MemoryRecord, MergeMemories
from pmcp_common.contracts.memory_life_models import (
    MemoryEditParams,
    MemoryEraseParams,
    MemoryEraseResult,
    MemoryExportParams,
    MemoryExportResult,
    MemoryForgetParams,
    MemoryForgetResult,
    MemoryGetParams,
    MemoryListParams,
    MemoryListResult,
    MemoryMergeParams,
    MemoryPinParams,
    MemoryRecordResult,
    OfPersona,
)
from pmcp_common.contracts.saves import PlayerForgotten
from pmcp_gateway.methods.call import Call, Services, chosen_persona
from pmcp_gateway.methods.settling import settle


async def related_ids(services: Services, call: Call, references: Iterable[str], player: str) -> tuple[str, ...]:
    """Of personas named by id or name. Raises PersonaNotFound for the first that is not there."""
    return tuple([(await services.names.resolve(call.tenant, one, player))[0] for one in references])


async def list_memories(services: Services, call: Call, params: MemoryListParams) -> dict[str, Any]:
    persona_id, player = await _both(services, call, params)
    page = await services.keeping.list_memories(
        call.tenant,
        persona_id,
        player,
        limit=params.limit,
        before=params.before_id,
        memory_type=params.memory_type,
        visibility=params.visibility,
    )
    return MemoryListResult(memories=list(page.memories), has_more=page.has_more).model_dump(mode="json")


async def get(services: Services, call: Call, params: MemoryGetParams) -> dict[str, Any]:
    persona_id, player = await _both(services, call, params)
    return _record(await services.keeping.read(call.tenant, persona_id, player, params.memory_id))


async def edit(services: Services, call: Call, params: MemoryEditParams) -> dict[str, Any]:
    persona_id, player = await _both(services, call, params)
    references = params.related_personas
    change = EditMemory(
        persona_id=persona_id,
        player_id=player,
        content=params.content,
        memory_type=params.memory_type,
        importance=params.importance,
        emotional_valence=params.emotional_valence,
        visibility=params.visibility,
        pinned=params.pinned,
        related_personas=None if references is None else await related_ids(services, call, references, player),
    )
    return _record(await services.keeping.edit(call.tenant, params.memory_id, change))


async def pin(services: Services, call: Call, params: MemoryPinParams) -> dict[str, Any]:
    persona_id, player = await _both(services, call, params)
    change = EditMemory(persona_id=persona_id, player_id=player, pinned=params.pinned)
    return _record(await services.keeping.edit(call.tenant, params.memory_id, change))


async def merge(services: Services, call: Call, params: MemoryMergeParams) -> dict[str, Any]:
    persona_id, player = await _both(services, call, params)
    request = MergeMemories(
        persona_id=persona_id, player_id=player, into=params.memory_id, others=tuple(params.other_ids)
    )
    return _record(await services.keeping.merge(call.tenant, request))


async def forget(services: Services, call: Call, params: MemoryForgetParams) -> dict[str, Any]:
    persona_id, player = await _both(services, call, params)
    erased = await services.keeping.forget(call.tenant, persona_id, player, params.memory_id)
    return MemoryForgetResult(memory_id=params.memory_id, forgotten=erased.memories > 0, erased=erased).model_dump(
        mode="json"
    )


async def export(services: Services, call: Call, params: MemoryExportParams) -> dict[str, Any]:
    player = call.player(params.player_id)
    page = await services.keeping.export_page(call.tenant, player, params.after, params.limit)
    return MemoryExportResult(
        player_id=player,
        memories=list(page.memories),
        turns=list(page.turns),
        summaries=list(page.summaries),
        waiting=list(page.waiting),
        next=page.next,
    ).model_dump(mode="json")


async def erase(services: Services, call: Call, params: MemoryEraseParams) -> dict[str, Any]:
    player = call.player(params.player_id)
    said, stood = await forget_player(services, call.tenant, player)
    return MemoryEraseResult(player_id=player, erased=True, **said.model_dump(), **stood.model_dump()).model_dump(
        mode="json"
    )


async def forget_player(services: Services, tenant: str, player: str) -> tuple[Forgotten, PlayerForgotten]:
    """All that was kept of the player: what was said and remembered, then how personas stood.

    Raises Unavailable, and has done nothing, while something that was said is on its way to be kept."""
    await settle(services, tenant, player)
    said = await services.conversations.forget_player(tenant, player)
    return said, await services.saves.forget_personas(tenant, player)


async def _both(services: Services, call: Call, params: OfPersona) -> tuple[str, str]:
    player = call.player(params.player_id)
    return await chosen_persona(services, call, params.persona_id, player), player


def _record(memory: MemoryRecord) -> dict[str, Any]:
    return MemoryRecordResult(memory=memory).model_dump(mode="json")
