"""What a session's player sees, in Redis: one HASH a session, kind → JSON. The workers read it for each reply."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, cast

import orjson

from pmcp_common.contracts import keys
from pmcp_common.redis_link import BytesRedis, broker_errors


class RedisSights:
    def __init__(self, redis: BytesRedis, *, keep_seconds: int) -> None:
        self._redis = redis
        self.keep_seconds = keep_seconds

    async def kinds(self, tenant: str, session_id: str) -> list[str]:
        with broker_errors():
            found = await cast(Awaitable[list[bytes]], self._redis.hkeys(keys.sights(tenant, session_id)))
        return sorted(kind.decode() for kind in found)

    async def put(self, tenant: str, session_id: str, kind: str, seen: Mapping[str, Any]) -> None:
        """Nothing seen: the kind is dropped. All of the session's sights expire together."""
        name = keys.sights(tenant, session_id)
        with broker_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                if seen:
                    pipe.hset(name, kind, orjson.dumps(seen).decode())
                else:
                    pipe.hdel(name, kind)
                pipe.expire(name, self.keep_seconds)
                await pipe.execute()

    async def clear(self, tenant: str, session_id: str) -> None:
        with broker_errors():
            await self._redis.delete(keys.sights(tenant, session_id))
