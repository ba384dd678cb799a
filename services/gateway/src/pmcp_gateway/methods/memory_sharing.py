"""memory.search_cross_persona and memory.shared_stats: what personas know of each other's memories."""

from __future__ import annotations

from typing import Any

from pmcp_common.contracts.memory_sharing import SharedMemory, SharedSearch
from pmcp_common.contracts.memory_sharing_models import (
    CrossPersonaMemory,
    CrossPersonaSearch,
    MemorySearchCrossPersonaParams,
    MemorySearchCrossPersonaResult,
    MemorySharedStatsResult,
    SharedByPersona,
    SharedMemoryStatistics,
)
from pmcp_common.contracts.method_models import NoParams
from pmcp_gateway.methods.call import Call, Services, chosen_persona
from pmcp_gateway.timestamps import timestamp

_NOTHING = SharedByPersona(shared=0, public=0, cross_references=0)


async def search_cross_persona(
    services: Services, call: Call, params: MemorySearchCrossPersonaParams
) -> dict[str, Any]:
    player = call.player(params.player_id)
    persona_id = await chosen_persona(services, call, params.persona_id, player)
    request = SharedSearch(
        persona_id=persona_id,
        player_id=player,
        query=params.query,
        n_results=params.n_results,
        min_importance=params.min_importance,
        include_shared=params.include_shared,
        include_public=params.include_public,
    )
    found = (await services.keeping.search_shared(call.tenant, request)).memories
    return MemorySearchCrossPersonaResult(
        requesting_persona=persona_id,
        query=params.query,
        memories=[_found(memory, persona_id) for memory in found],
        total_results=len(found),
        search_params=CrossPersonaSearch(
            min_importance=params.min_importance,
            include_shared=params.include_shared,
            include_public=params.include_public,
        ),
    ).model_dump(mode="json")


def _found(memory: SharedMemory, persona_id: str) -> CrossPersonaMemory:
    return CrossPersonaMemory.model_validate(
        {
            **memory.model_dump(mode="json", exclude={"id", "persona_id", "created_at"}),
            "memory_id": memory.id,
            "created_at": timestamp(memory.created_at),
            "source": "own" if memory.persona_id == persona_id else "cross_persona",
            "source_persona": memory.persona_id,
        }
    )


async def shared_stats(services: Services, call: Call, _params: NoParams) -> dict[str, Any]:
    """Every persona there is, and those that are gone but left something."""
    personas = await services.personas.list(call.tenant, call.session_id)
    counted = (await services.keeping.shared_stats(call.tenant)).personas
    by_persona = {view.persona.id: _NOTHING for view in personas} | {
        one.persona_id: SharedByPersona(shared=one.shared, public=one.public, cross_references=one.cross_references)
        for one in counted
    }
    return MemorySharedStatsResult(
        shared_memory_statistics=SharedMemoryStatistics(
            total_personas=len(by_persona),
            shared_memories=sum(one.shared for one in by_persona.values()),
            public_memories=sum(one.public for one in by_persona.values()),
            cross_references=sum(one.cross_references for one in by_persona.values()),
            by_persona=by_persona,
        ),
        timestamp=timestamp(services.clock.now()),
    ).model_dump(mode="json")
