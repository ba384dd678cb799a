"""`LearningBook` on Redis: one budget of calls for each tenant and clock hour, shared by all workers; and failures."""

from __future__ import annotations

from typing import Any

from pmcp_common.clock import Clock
from pmcp_common.contracts import keys
from pmcp_common.redis_link import BytesRedis, broker_errors

HOUR_SECONDS = 3600
KEPT_SECONDS = 2 * HOUR_SECONDS


class RedisLearningBook:
    def __init__(self, redis: BytesRedis, clock: Clock, *, calls_per_hour: int) -> None:
        self._redis: Any = redis
        self._clock = clock
        self._calls = calls_per_hour

    async def take_call(self, tenant: str) -> float:
        hour, passed = divmod(self._clock.now().timestamp(), HOUR_SECONDS)
        key = keys.learning_calls(tenant, int(hour))
        with broker_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.incr(key)
                pipe.expire(key, KEPT_SECONDS)
                taken, _ = await pipe.execute()
        return 0.0 if taken <= self._calls else max(1.0, HOUR_SECONDS - passed)

    async def failed(self, tenant: str, conversation_id: str) -> int:
        with broker_errors():
            return int(await self._redis.hincrby(keys.learning_failures(tenant), conversation_id, 1))

    async def succeeded(self, tenant: str, conversation_id: str) -> None:
        with broker_errors():
            await self._redis.hdel(keys.learning_failures(tenant), conversation_id)
