"""`ModelsBoard` on a Redis hash, which the gateways read for `system.models`."""

from __future__ import annotations

from typing import Any

from pmcp_common.contracts import keys
from pmcp_common.redis_link import BytesRedis, broker_errors


class RedisModelsBoard:
    def __init__(self, redis: BytesRedis) -> None:
        self._redis: Any = redis

    async def put(self, tenant: str, worker_id: str, entry: bytes) -> None:
        with broker_errors():
            await self._redis.hset(keys.models(tenant), worker_id, entry)

    async def entries(self, tenant: str) -> dict[str, bytes]:
        with broker_errors():
            found = await self._redis.hgetall(keys.models(tenant))
        return {name.decode(): entry for name, entry in found.items()}

    async def drop(self, tenant: str, worker_ids: list[str]) -> None:
        with broker_errors():
            await self._redis.hdel(keys.models(tenant), *worker_ids)
