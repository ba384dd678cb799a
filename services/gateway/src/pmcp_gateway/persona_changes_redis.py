"""The persona service's hints, to this gateway's memory of names: a renamed or deleted persona is asked for anew."""

from __future__ import annotations

from contextlib import aclosing

from pmcp_common.bus_redis import channel_messages
from pmcp_common.contracts import keys
from pmcp_gateway.methods.persona_names import PersonaNames


async def follow_changes(url: str, names: PersonaNames) -> None:
    """For ever. After a lost connection anything may have been missed."""
    async with aclosing(channel_messages(url, keys.PERSONA_CHANNEL)) as messages:
        async for data in messages:
            if data is None:
                names.doubt_all()
            else:
                tenant, _, persona_id = data.decode().partition("/")
                names.forget(tenant, persona_id)
