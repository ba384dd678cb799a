"""`PersonaCopies` on the HASH the workers keep for an outage of the persona service: one copy of each persona."""

from __future__ import annotations

from typing import Any

import orjson

from pmcp_common.contracts import keys
from pmcp_common.redis_link import BytesRedis, broker_errors
from pmcp_gateway.methods.persona_names import PersonaName

PAGE = 100


class RedisPersonaCopies:
    def __init__(self, redis: BytesRedis) -> None:
        self._redis: Any = redis

    async def find(self, tenant: str, reference: str) -> PersonaName | None:
        wanted = reference.lower()
        with broker_errors():
            async for _, copy in self._redis.hscan_iter(keys.persona_shelf(tenant), count=PAGE):
                found = _name_of(copy)
                if found is not None and wanted in (found.id.lower(), found.name.lower()):
                    return found
        return None


def _name_of(copy: bytes) -> PersonaName | None:
    """None: of a release whose copies read otherwise."""
    try:
        fields = orjson.loads(copy)
        return PersonaName(str(fields["id"]), str(fields["name"]))
    except (ValueError, KeyError, TypeError):
        return None
