"""memory.search: what a persona remembers of this player, as the memory service recalls it."""

from __future__ import annotations

from typing import Any

from pmcp_common.contracts.memories import RecallRequest
from pmcp_common.contracts.methods import MemorySearchParams, MemorySearchResult
from pmcp_gateway.methods.call import Call, Services


async def search(services: Services, call: Call, params: MemorySearchParams) -> dict[str, Any]:
    player = call.player(params.player_id)
    persona_id = call.persona_id
    if params.persona_id is not None:
        persona_id, _ = await services.names.resolve(call.tenant, params.persona_id, player)
    assert persona_id is not None
    answer = await services.memories.search(
        call.tenant,
        RecallRequest(
            persona_id=persona_id,
            player_id=player,
            query=params.query,
            n_results=params.n_results,
            memory_type=params.memory_type,
            min_importance=params.min_importance,
        ),
    )
    return MemorySearchResult(
        memories=[memory.model_dump(mode="json") for memory in answer.memories],
        query=params.query,
        result_count=len(answer.memories),
    ).model_dump(mode="json")
