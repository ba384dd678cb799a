"""session.get_info: the session as it is stored, which another gateway may have changed."""

from __future__ import annotations

from typing import Any

from pmcp_common.contracts.methods import NoParams, SessionInfoResult
from pmcp_gateway.methods.call import Call, Services


async def get_info(services: Services, call: Call, _params: NoParams) -> dict[str, Any]:
    session = await services.sessions.get(call.tenant, call.session_id)
    if session is None:  # Redis lost it
        session = call.connection.session
        await services.sessions.save(session)
    return SessionInfoResult(
        session_id=session.session_id,
        active_persona_id=session.persona_id,
        active_persona_name=session.persona_name,
        connection_time=session.connected_at,
        message_count=session.message_count,
    ).model_dump(mode="json")
