"""`InterruptionBook` on a ZSET: interruption (JSON) → when it is due, by the clock of Redis."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import orjson

from pmcp_common.contracts import keys
from pmcp_common.redis_link import BytesRedis, Script, broker_errors
from pmcp_gateway.interruptions import Interruption

log = logging.getLogger(__name__)

AGAIN_MS = 5000
"""Should the gateway that took it not decide."""
A_PASS = 100


class RedisInterruptions:
    def __init__(self, redis: BytesRedis) -> None:
        self._redis: Any = redis
        self._exchange = Script(redis, "interruptions")

    async def exchange(self, noted: Sequence[Interruption], grace_seconds: float) -> list[Interruption]:
        members = [orjson.dumps(one) for one in noted]
        due = await self._exchange([keys.INTERRUPTIONS], [int(grace_seconds * 1000), AGAIN_MS, A_PASS, *members])
        return [Interruption(**orjson.loads(member)) for member in due]

    async def strike(self, decided: Sequence[Interruption]) -> None:
        if decided:
            with broker_errors():
                await self._redis.zrem(keys.INTERRUPTIONS, *(orjson.dumps(one) for one in decided))
