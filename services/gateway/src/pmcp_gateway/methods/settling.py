"""What ended replies still do to a player's world is waited for, before that world is saved, loaded or erased."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from pmcp_common.contracts.errors import Unavailable
from pmcp_gateway.methods.call import Services

SETTLE_SECONDS = 2.0
"""What a reply that has just ended does to memories and feelings takes a few hundredths of a second."""
_LOOK_SECONDS = 0.05
RETRY_AFTER_SECONDS = 2.0


async def settle(services: Services, tenant: str, player: str, conversations: Collection[str] = ()) -> None:
    """Wait a little for messages that are not stored yet and for what replies of `conversations` do to memories and
    feelings. Raises Unavailable when messages are not stored by then: they would be missing in what is saved, or come
    into the world that was loaded or erased."""
    deadline = services.clock.monotonic() + SETTLE_SECONDS
    while True:
        owed = await services.underway.owed(tenant, player)
        if not owed and not (conversations and await services.underway.effects(tenant, conversations)):
            return
        if services.clock.monotonic() >= deadline:
            break
        await asyncio.sleep(_LOOK_SECONDS)
    if owed:
        raise Unavailable("What was said lately is not stored yet", retry_after=RETRY_AFTER_SECONDS)
