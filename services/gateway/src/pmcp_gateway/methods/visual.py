"""visual.update: what the player sees, kept with the session for the next prompts."""

from __future__ import annotations

from typing import Any

from pmcp_common.contracts.conversation_models import VisualUpdateParams, VisualUpdateResult
from pmcp_common.contracts.errors import InvalidParams
from pmcp_gateway.methods.call import Call, Services

MAX_KINDS = 8


async def update(services: Services, call: Call, params: VisualUpdateParams) -> dict[str, Any]:
    kinds = await services.sights.kinds(call.tenant, call.session_id)
    if params.data and params.type not in kinds and len(kinds) >= MAX_KINDS:
        raise InvalidParams(f"type: at most {MAX_KINDS} types are kept at a time", field="type")
    await services.sights.put(call.tenant, call.session_id, params.type, params.data)
    now = {*kinds, params.type} if params.data else set(kinds) - {params.type}
    return VisualUpdateResult(
        visual_updated=True,
        update_type=params.type,
        timestamp=services.stamps.now(),
        expires_in_seconds=services.sights.keep_seconds,
        types=sorted(now),
    ).model_dump(mode="json")
