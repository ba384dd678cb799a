"""`SessionStore` on Redis: one HASH a session. `submit.lua` reads the persona and counts messages in the same HASH."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

import orjson

from pmcp_common.bus_redis import channel_messages
from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import SessionExpired, SessionRefused, SessionReplaced, Unavailable
from pmcp_common.redis_link import BytesRedis, Script, broker_errors
from pmcp_gateway.stores import RETRY_SECONDS, SESSION_SECONDS, Replacement, Session

MAX_CONCURRENT_COMMANDS = 64
"""A thousand sockets may arrive at once; the pool must not open a connection for each."""


SESSIONS_A_PASS = 200
"""In one script, which nobody else's command can run beside."""


class RedisSessions:
    def __init__(self, redis: BytesRedis, url: str, *, keep_seconds: int = SESSION_SECONDS) -> None:
        self._redis = redis
        self._keep_seconds = keep_seconds
        self._url = url
        self._open, self._resume = (Script(redis, name) for name in ("open_session", "resume_session"))
        self._change_session = Script(redis, "write_session")
        self._expire = Script(redis, "expire_sessions")
        self._gate = asyncio.Semaphore(MAX_CONCURRENT_COMMANDS)

    async def save(self, session: Session) -> None:
        name = keys.session(session.tenant, session.session_id)
        fields = {
            "tenant": session.tenant,
            "principal": session.principal,
            "connected_at": session.connected_at,
        }
        with broker_errors():
            async with self._gate, self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(name, mapping=fields)
                pipe.hsetnx(name, "message_count", "0")
                pipe.expire(name, self._keep_seconds)
                pipe.zadd(keys.sessions(session.tenant), {session.session_id: 0}, nx=True)
                await pipe.execute()

    async def set_persona(self, session: Session, persona_id: str, persona_name: str) -> None:
        await self._change(session, "set", persona_id, persona_name)

    async def leave_persona(self, session: Session, *, anew: bool = False) -> None:
        await self._change(session, "anew" if anew else "leave")

    async def _change(self, session: Session, what: str, persona_id: str = "", persona_name: str = "") -> None:
        tenant, session_id = session.tenant, session.session_id
        identity = [tenant, session.principal, session.connected_at, session_id]
        async with self._gate:
            changed = await self._change_session(
                [keys.session(tenant, session_id), keys.sessions(tenant)],
                [session.gen, self._keep_seconds, what, *identity, persona_id, persona_name],
            )
        if not changed:
            raise SessionReplaced

    async def open(self, session: Session, token_hash: str, gateway_id: str) -> Session:
        gen = await self._open(
            [keys.session(session.tenant, session.session_id)],
            [
                session.tenant,
                session.principal,
                session.connected_at,
                token_hash,
                keys.session_notices(gateway_id),
                self._keep_seconds,
                session.gen,
            ],
        )
        if not gen:
            raise SessionReplaced
        return replace(session, gen=int(gen))

    async def resume(
        self, session: Session, leaving: Session, shown: str, next_token: str, gateway_id: str, holder: str
    ) -> Session:
        status, *rest = await self._resume(
            [keys.session(session.tenant, one.session_id) for one in (session, leaving)],
            [
                session.tenant,
                session.principal,
                session.session_id,
                shown,
                next_token,
                keys.session_notices(gateway_id),
                holder,
                int(RETRY_SECONDS * 1000),
                self._keep_seconds,
            ],
        )
        if status == b"EXPIRED":
            raise SessionExpired
        if status == b"REFUSED":
            raise SessionRefused
        gen, connected_at, persona_id, persona_name = rest
        return replace(
            session,
            gen=int(gen),
            connected_at=connected_at.decode(),
            persona_id=persona_id.decode() or None,
            persona_name=persona_name.decode() or None,
        )

    async def end_expired(self, tenant: str, keeper: str, lease_seconds: float) -> list[str] | None:
        names = [keys.sessions(tenant), keys.SESSIONS_LEASE, keys.ended_sessions(tenant)]
        ended: list[str] = []
        known: list[bytes] = []
        while True:
            try:
                ours, due, gone = await self._expire(
                    names, [keeper, int(lease_seconds * 1000), SESSIONS_A_PASS, tenant, *known]
                )
            except Unavailable:
                if ended:
                    return ended  # those that were not yet taken note of are told again in the next pass
                raise
            if not ours:
                return ended or None
            ended += [found for session_id in gone if (found := session_id.decode()) not in ended]
            if not due and not gone:
                return ended
            known = gone

    async def confirm(self, session: Session) -> int | None:
        name = keys.session(session.tenant, session.session_id)
        with broker_errors():
            async with self._gate, self._redis.pipeline(transaction=True) as pipe:
                pipe.hget(name, "gen")
                pipe.hdel(name, "token_before", "before_until_ms")
                gen, _ = await pipe.execute()
        return None if gen is None else int(gen)

    async def generation(self, tenant: str, session_id: str) -> int | None:
        with broker_errors():
            async with self._gate:
                gen = await cast(Awaitable[bytes | None], self._redis.hget(keys.session(tenant, session_id), "gen"))
        return None if gen is None else int(gen)

    async def replacements(self, gateway_id: str) -> AsyncIterator[Replacement]:
        async with aclosing(channel_messages(self._url, keys.session_notices(gateway_id))) as messages:
            async for data in messages:
                if data is not None:
                    fields = orjson.loads(data)
                    yield Replacement(fields["session_id"], int(fields["gen"]), fields["holder"])

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
            gen=int(fields.get("gen", "0")),
        )
