"""memory.store, stats, get_stats and persona.memory: what a client wants remembered, and figures on it."""

from __future__ import annotations

from typing import Any

from pmcp_common.contracts.memories import RecallRequest
from pmcp_common.contracts.memory_life import MemoryToStore, StoreMemories
from pmcp_common.contracts.memory_models import (
    MemoryGetStatsResult,
    MemoryStatsParams,
    MemoryStatsResult,
    MemoryStoreParams,
    MemoryStoreResult,
    PersonaMemoryParams,
    PersonaMemoryResult,
)
from pmcp_gateway.methods.call import Call, Services, chosen_persona
from pmcp_gateway.methods.memory_life import related_ids
from pmcp_gateway.timestamps import timestamp

ANYTHING = "what happened lately"
"""Looked for when a client names nothing."""


async def store(services: Services, call: Call, params: MemoryStoreParams) -> dict[str, Any]:
    player = call.player(params.player_id)
    persona_id = await chosen_persona(services, call, params.persona_id, player)
    memory = MemoryToStore(
        content=params.content,
        memory_type=params.memory_type,
        importance=params.importance,
        emotional_valence=params.emotional_valence,
        visibility=params.visibility,
        related_personas=await related_ids(services, call, params.related_personas, player),
        metadata=params.metadata,
    )
    stored = await services.keeping.store(
        call.tenant, StoreMemories(persona_id=persona_id, player_id=player, memories=(memory,))
    )
    return MemoryStoreResult(memory_id=stored.ids[0], stored=True).model_dump(mode="json")


async def stats(services: Services, call: Call, params: MemoryStatsParams) -> dict[str, Any]:
    player = call.player(params.player_id)
    persona_id = await chosen_persona(services, call, params.persona_id, player)
    found = await services.memories.stats(call.tenant, persona_id, player)
    fields = found.model_dump(include=set(MemoryStatsResult.model_fields), exclude_none=True)
    return MemoryStatsResult(**fields).model_dump(mode="json", exclude_none=True)


async def get_stats(services: Services, call: Call, params: MemoryStatsParams) -> dict[str, Any]:
    player = call.player(params.player_id)
    persona_id = await chosen_persona(services, call, params.persona_id, player)
    found = await services.memories.stats(call.tenant, persona_id, player)
    return MemoryGetStatsResult(
        total_memories=found.total_memories,
        memory_types=found.memory_types or {},
        average_importance=found.avg_importance,
        oldest_memory=timestamp(found.oldest_memory) if found.oldest_memory else None,
        newest_memory=timestamp(found.newest_memory) if found.newest_memory else None,
    ).model_dump(mode="json")


async def of_active(services: Services, call: Call, params: PersonaMemoryParams) -> dict[str, Any]:
    request = RecallRequest(
        persona_id=call.persona_id or "",
        player_id=call.player(params.player_id),
        query=params.query.strip() or ANYTHING,
        n_results=params.limit,
    )
    found = (await services.memories.search(call.tenant, request)).memories
    return PersonaMemoryResult(
        memories=[
            {
                "id": memory.id,
                "content": memory.content,
                "importance": memory.importance,
                "memory_type": memory.memory_type,
                "created_at": timestamp(memory.created_at),
            }
            for memory in found
        ],
        query=params.query,
        total_found=len(found),
    ).model_dump(mode="json")
