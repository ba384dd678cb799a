"""memory.search: what a persona remembers of this player, as the memory service recalls it."""

from __future__ import annotations

from typing import Any

from pmcp_common.contracts.memories import RecallRequest
from pmcp_common.contracts.memory_models import MemorySearchParams, MemorySearchResult
from pmcp_gateway.methods.call import Call, Services, chosen_persona


async def search(services: Services, call: Call, params: MemorySearchParams) -> dict[str, Any]:
    player = call.player(params.player_id)
    persona_id = await chosen_persona(services, call, params.persona_id, player)
    answer = await services.memories.search(
        call.tenant,
        RecallRequest(
            persona_id=persona_id,
            player_id=player,
            query=params.query,
            n_results=params.n_results,
            memory_type=params.memory_type,
            min_importance=params.min_importance,
            as_of=params.as_of,
        ),
    )
    return MemorySearchResult(
        memories=list(answer.memories),
        query=params.query,
        result_count=len(answer.memories),
    ).model_dump(mode="json")
