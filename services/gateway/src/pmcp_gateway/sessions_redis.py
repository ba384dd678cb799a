"""`SessionStore` on Redis: one HASH a session. `submit.lua` reads the persona and counts messages in the same HASH."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

from pmcp_common.contracts import keys
from pmcp_common.redis_link import BytesRedis, broker_errors
from pmcp_gateway.stores import SESSION_SECONDS, Session

MAX_CONCURRENT_COMMANDS = 64
"""A thousand sockets may arrive at once; the pool must not open a connection for each."""


class RedisSessions:
    def __init__(self, redis: BytesRedis) -> None:
        self._redis = redis
        self._gate = asyncio.Semaphore(MAX_CONCURRENT_COMMANDS)

    async def save(self, session: Session) -> None:
        await self._write(session, {})

    async def set_persona(self, session: Session, persona_id: str, persona_name: str) -> None:
        await self._write(session, {"persona_id": persona_id, "persona_name": persona_name})

    async def _write(self, session: Session, more: dict[str, str]) -> None:
        name = keys.session(session.tenant, session.session_id)
        fields = {
            "tenant": session.tenant,
            "principal": session.principal,
            "connected_at": session.connected_at,
            **more,
        }
        with broker_errors():
            async with self._gate, self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(name, mapping=fields)
                pipe.hsetnx(name, "message_count", "0")
                pipe.expire(name, SESSION_SECONDS)
                await pipe.execute()

    async def get(self, tenant: str, session_id: str) -> Session | None:
        with broker_errors():
            async with self._gate:
                stored: Any = await cast(Awaitable[Any], self._redis.hgetall(keys.session(tenant, session_id)))
        fields = {name.decode(): value.decode() for name, value in stored.items()}
        if "principal" not in fields:
            return None
        return Session(
            tenant=tenant,
            session_id=session_id,
            principal=fields["principal"],
            connected_at=fields.get("connected_at", ""),
            persona_id=fields.get("persona_id"),
            persona_name=fields.get("persona_name"),
            message_count=int(fields.get("message_count", "0")),
        )
