"""session.clear: the session begins anew, and on request all that was kept of its player is deleted."""

from __future__ import annotations

from typing import Any

from pmcp_common.contracts.conversation_models import SessionClearParams, SessionClearResult
from pmcp_gateway.methods.call import Call, Services
from pmcp_gateway.methods.memory_life import forget_player


async def clear(services: Services, call: Call, params: SessionClearParams) -> dict[str, Any]:
    forgotten = None
    if params.forget:
        said, _ = await forget_player(services, call.tenant, call.player(params.player_id))
        forgotten = said.model_dump()
    await services.sessions.leave_persona(call.connection.session, anew=True)
    await services.sights.clear(call.tenant, call.session_id)
    await services.talks.leave(call.tenant, call.session_id)
    return SessionClearResult(message="Session cleared", session_id=call.session_id, forgotten=forgotten).model_dump(
        mode="json"
    )
