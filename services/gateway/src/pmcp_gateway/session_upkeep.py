"""What hangs on expired sessions goes: what their players saw, and which talk was theirs.

A session itself expires in Redis. Any number of gateways run this, and one of them works, under a lease. What was said
stays: it belongs to the player, who may come back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from pmcp_common.contracts.errors import DomainError
from pmcp_gateway.metrics import SESSIONS_ENDED

log = logging.getLogger(__name__)

PASS_SECONDS = 60.0
LEASE_SECONDS = 150.0
"""Longer than two passes: another gateway takes over when this one has missed them."""


class ExpiringSessions(Protocol):
    """Port. Raises Unavailable. Adapter: `sessions_redis`."""

    async def end_expired(self, tenant: str, keeper: str, lease_seconds: float) -> list[str] | None:
        """Delete what hangs on sessions that have expired. Their ids; None: another keeper holds the lease."""
        ...


async def end_expired_forever(
    sessions: ExpiringSessions,
    tenant: str,
    keeper: str,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """`keeper`: the gateway's id. While the broker is away nothing is done; the next pass finds the same sessions."""
    while True:
        await sleep(PASS_SECONDS)
        try:
            ended = await sessions.end_expired(tenant, keeper, LEASE_SECONDS)
        except DomainError as error:
            log.warning("expired sessions wait", extra={"code": error.code})
            continue
        if ended:
            SESSIONS_ENDED.inc(len(ended))
            log.info("sessions expired", extra={"sessions": len(ended)})
