"""`Announcer` on Redis pub/sub: `tenant/persona` on one channel."""

from __future__ import annotations

import logging

from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import DomainError
from pmcp_common.redis_link import BytesRedis, broker_errors

log = logging.getLogger(__name__)


class RedisAnnouncer:
    def __init__(self, redis: BytesRedis) -> None:
        self._redis = redis

    async def changed(self, tenant: str, persona_id: str) -> None:
        try:
            with broker_errors():
                await self._redis.publish(keys.PERSONA_CHANNEL, f"{tenant}/{persona_id}")
        except DomainError as error:
            log.warning("change of a persona not announced", extra={"persona": persona_id, "code": error.code})
