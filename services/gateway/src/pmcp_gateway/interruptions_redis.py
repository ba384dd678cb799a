"""`InterruptionBook` on a ZSET: interruption (JSON) → when it is due, by the clock of Redis."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import orjson

from pmcp_common.bus import UNREADABLE
from pmcp_common.contracts import keys
from pmcp_common.redis_link import BytesRedis, Script, broker_errors
from pmcp_gateway.interruptions import Interruption

log = logging.getLogger(__name__)

AGAIN_MS = 5000
"""Should the gateway that took it not decide."""
A_PASS = 100
_KNOWN = tuple(field.name for field in fields(Interruption))


class RedisInterruptions:
    def __init__(self, redis: BytesRedis) -> None:
        self._redis: Any = redis
        self._exchange = Script(redis, "interruptions")
        self._members: dict[Interruption, bytes] = {}
        """As they are stored: a newer gateway may have noted more than this one reads."""

    async def exchange(self, noted: Sequence[Interruption], grace_seconds: float) -> list[Interruption]:
        members = [orjson.dumps(one) for one in noted]
        due = await self._exchange([keys.INTERRUPTIONS], [int(grace_seconds * 1000), AGAIN_MS, A_PASS, *members])
        self._members, unreadable = {}, []
        for member in due:
            try:
                self._members[_read(member)] = member
            except UNREADABLE:
                log.exception("an interrupted reply cannot be read: it goes on", extra={"stored": repr(member)[:400]})
                unreadable.append(member)
        await self._drop(unreadable)
        return list(self._members)

    async def strike(self, decided: Sequence[Interruption]) -> None:
        await self._drop([self._members.get(one) or orjson.dumps(one) for one in decided])

    async def _drop(self, members: Sequence[bytes]) -> None:
        if members:
            with broker_errors():
                await self._redis.zrem(keys.INTERRUPTIONS, *members)


def _read(member: bytes) -> Interruption:
    stored = orjson.loads(member)
    return Interruption(**{name: stored[name] for name in _KNOWN})
