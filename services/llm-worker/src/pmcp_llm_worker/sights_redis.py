"""`Sights` on Redis: one HASH a session, kind → JSON, which the gateway writes and lets expire."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, cast

import orjson

from pmcp_common.contracts import keys
from pmcp_common.redis_link import BytesRedis, broker_errors


class RedisSights:
    def __init__(self, redis: BytesRedis) -> None:
        self._redis = redis

    async def of_session(self, tenant: str, session_id: str) -> Mapping[str, object]:
        with broker_errors():
            stored: Any = await cast(Awaitable[Any], self._redis.hgetall(keys.sights(tenant, session_id)))
        return {kind.decode(): orjson.loads(seen) for kind, seen in sorted(stored.items())}
