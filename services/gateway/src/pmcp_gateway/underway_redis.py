"""`Underway` on Redis: the lines of conversations, the queue of remembering, the turns owed to PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson

from pmcp_common.contracts import keys
from pmcp_common.contracts.jobs import TERMINAL_STATES
from pmcp_common.redis_link import BytesRedis, Script, broker_errors
from pmcp_gateway.underway import HOLD_SECONDS

MAX_LOOKED_AT = 1_000
"""Of what is owed or waits to be remembered. Beyond it is assumed that something of the player is among it."""
_REMEMBER = b"remember:"
_ENDED = {state.value.encode() for state in TERMINAL_STATES}


class RedisUnderway:
    def __init__(self, redis: BytesRedis) -> None:
        self._redis = redis
        self._release = Script(redis, "world_release")

    async def replies(self, tenant: str, conversation_ids: Collection[str]) -> bool:
        with broker_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for conversation_id in conversation_ids:
                    pipe.lrange(keys.conversation_queue(tenant, conversation_id), 0, -1)
                lines: list[list[bytes]] = await pipe.execute()
        states = await self._of_jobs(tenant, [job for line in lines for job in line], "state")
        # Of one that has expired nothing is left but its place in the line.
        return any(state is not None and state not in _ENDED for state in states)

    async def effects(self, tenant: str, conversation_ids: Collection[str]) -> bool:
        with broker_errors():
            waiting: list[bytes] = await self._redis.zrange(keys.REMEMBER_QUEUE, 0, MAX_LOOKED_AT - 1)
        if len(waiting) >= MAX_LOOKED_AT:
            return True
        jobs = [name.removeprefix(_REMEMBER) for name in waiting]
        wanted = {conversation_id.encode() for conversation_id in conversation_ids}
        return any(found in wanted for found in await self._of_jobs(tenant, jobs, "conversation_id"))

    async def _of_jobs(self, tenant: str, job_ids: list[bytes], field: str) -> list[bytes | None]:
        if not job_ids:
            return []
        with broker_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for job_id in job_ids:
                    pipe.hget(keys.job(tenant, job_id.decode()), field)
                found: list[bytes | None] = await pipe.execute()
        return found

    async def owed(self, tenant: str, player_id: str) -> bool:
        with broker_errors():
            entries: list[tuple[bytes, dict[bytes, bytes]]] = await self._redis.xrange(keys.SPOOL, count=MAX_LOOKED_AT)
        return len(entries) >= MAX_LOOKED_AT or any(_is_of(fields, tenant, player_id) for _, fields in entries)

    async def hold(self, tenant: str, player_id: str, holder: str) -> bool:
        with broker_errors():
            return bool(await self._redis.set(keys.world(tenant, player_id), holder, nx=True, ex=HOLD_SECONDS))

    async def release(self, tenant: str, player_id: str, holder: str) -> None:
        await self._release([keys.world(tenant, player_id)], [holder])


def _is_of(fields: dict[bytes, bytes], tenant: str, player_id: str) -> bool:
    """An entry that cannot be read will be set aside: it is nobody's."""
    try:
        turns: list[dict[str, Any]] = orjson.loads(fields[b"turns"])["turns"]
        return fields[b"tenant"].decode() == tenant and any(turn["player_id"] == player_id for turn in turns)
    except (KeyError, TypeError, ValueError):
        return False
