"""Whether what Redis stores also survives it: asked of the server every few seconds, never on the reply path."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

from pmcp_common.contracts.errors import DomainError
from pmcp_common.redis_link import BytesRedis, broker_errors

PROBE_SECONDS = 5.0


class RedisDurability:
    """`current` is "durable" while Redis writes each command to its append-only file before it answers, else
    "volatile"; also volatile as long as nobody knows."""

    def __init__(self, redis: BytesRedis) -> None:
        self._redis = redis
        self.current = "volatile"

    async def probe(self) -> None:
        try:
            with broker_errors():
                info = await cast(Awaitable[dict[str, Any]], self._redis.info("persistence"))
        except DomainError:
            return  # nothing is accepted while Redis is away, so nothing is claimed
        written = info.get("aof_enabled") == 1 and info.get("aof_last_write_status") == "ok"
        self.current = "durable" if written else "volatile"

    async def run(self) -> None:
        while True:
            await self.probe()
            await asyncio.sleep(PROBE_SECONDS)
