"""`Talks` on Redis: one JSON value a talk, forgotten with the sessions' time."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import orjson

from pmcp_common.contracts import keys
from pmcp_common.redis_link import BytesRedis, Script, broker_errors
from pmcp_gateway.talks import HOLD_SECONDS, Participant, Talk


class RedisTalks:
    def __init__(self, redis: BytesRedis, *, keep_seconds: int) -> None:
        self._redis = redis
        self._keep_seconds = keep_seconds
        self._release = Script(redis, "talk_release")

    async def begin(self, talk: Talk, session_id: str) -> None:
        with broker_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.set(keys.talk(talk.tenant, talk.conversation_id), orjson.dumps(talk), ex=self._keep_seconds)
                pipe.set(keys.talk_of_session(talk.tenant, session_id), talk.conversation_id, ex=self._keep_seconds)
                await pipe.execute()

    async def get(self, tenant: str, conversation_id: str) -> Talk | None:
        with broker_errors():
            stored = await self._redis.get(keys.talk(tenant, conversation_id))
        if stored is None:
            return None
        held = orjson.loads(stored)
        first, second = (Participant(**_known(Participant, held.pop(name))) for name in ("first", "second"))
        return Talk(**_known(Talk, held), first=first, second=second)

    async def of_session(self, tenant: str, session_id: str) -> str | None:
        with broker_errors():
            found = await self._redis.get(keys.talk_of_session(tenant, session_id))
        return None if found is None else str(found.decode())

    async def leave(self, tenant: str, session_id: str) -> None:
        with broker_errors():
            await self._redis.delete(keys.talk_of_session(tenant, session_id))

    async def hold(self, tenant: str, conversation_id: str, holder: str) -> bool:
        with broker_errors():
            return bool(await self._redis.set(_hold(tenant, conversation_id), holder, nx=True, ex=HOLD_SECONDS))

    async def release(self, tenant: str, conversation_id: str, holder: str, talk: Talk | None) -> bool:
        value = b"" if talk is None else orjson.dumps(talk)
        names = [keys.talk(tenant, conversation_id), _hold(tenant, conversation_id)]
        return bool(await self._release(names, [holder, value, self._keep_seconds]))


def _known(kind: type[Talk | Participant], stored: dict[str, Any]) -> dict[str, Any]:
    """A newer gateway may have stored more than this one reads."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in stored.items() if name in names}


def _hold(tenant: str, conversation_id: str) -> str:
    return f"{keys.talk(tenant, conversation_id)}:hold"
