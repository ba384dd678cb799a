"""`PersonaShelf` on a Redis hash per tenant: one copy of each persona, renewed with each version a worker reads."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import ValidationError

from pmcp_common.contracts import keys
from pmcp_common.contracts.personas import Persona
from pmcp_common.redis_link import BytesRedis, broker_errors

log = logging.getLogger(__name__)


class RedisPersonaShelf:
    def __init__(self, redis: BytesRedis) -> None:
        self._redis: Any = redis

    async def put(self, tenant: str, persona: Persona) -> None:
        with broker_errors():
            await self._redis.hset(keys.persona_shelf(tenant), persona.id, persona.model_dump_json())

    async def get(self, tenant: str, persona_id: str) -> Persona | None:
        with broker_errors():
            copy = await self._redis.hget(keys.persona_shelf(tenant), persona_id)
        try:
            return None if copy is None else Persona.model_validate_json(copy, extra="ignore")
        except ValidationError:
            log.warning("a persona's copy is of another release")
            return None

    async def drop(self, tenant: str, persona_id: str) -> None:
        with broker_errors():
            await self._redis.hdel(keys.persona_shelf(tenant), persona_id)
