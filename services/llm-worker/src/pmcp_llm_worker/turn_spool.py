"""Turns owed to the memory service while it is away: kept in Redis, brought over by a background task.

At-least-once and idempotent: turns have ids, so that several workers may bring the same ones. An entry the memory
service refuses for good is set aside, so that it does not hold up those behind it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.memories import CommitTurns
from pmcp_common.peers import MemoryPeer
from pmcp_common.redis_link import BytesRedis, broker_errors

log = logging.getLogger(__name__)

MAX_ENTRIES = 100_000
PAGE = 100
FLUSH_SECONDS = 2.0
REFUSED = f"{keys.SPOOL}:refused"


@dataclass(frozen=True, slots=True)
class SpooledTurns:
    entry_id: str
    tenant: str
    turns: CommitTurns


class TurnSpool(Protocol):
    """Raises Unavailable when the broker is away."""

    async def put(self, tenant: str, turns: CommitTurns) -> None: ...

    async def oldest(self) -> Sequence[SpooledTurns]:
        """A page of entries, oldest first."""
        ...

    async def remove(self, entry: SpooledTurns) -> None: ...

    async def set_aside(self, entry: SpooledTurns) -> None:
        """Keep an entry the memory service will never take where an operator finds it."""
        ...


class RedisTurnSpool:
    def __init__(self, redis: BytesRedis) -> None:
        self._redis = redis

    async def put(self, tenant: str, turns: CommitTurns) -> None:
        with broker_errors():
            await self._redis.xadd(keys.SPOOL, _encode(tenant, turns), maxlen=MAX_ENTRIES, approximate=True)

    async def oldest(self) -> Sequence[SpooledTurns]:
        with broker_errors():
            entries = await self._redis.xrange(keys.SPOOL, count=PAGE)
        return [_decode(entry_id, fields) for entry_id, fields in entries]

    async def remove(self, entry: SpooledTurns) -> None:
        with broker_errors():
            await self._redis.xdel(keys.SPOOL, entry.entry_id)

    async def set_aside(self, entry: SpooledTurns) -> None:
        with broker_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.xadd(REFUSED, _encode(entry.tenant, entry.turns), maxlen=MAX_ENTRIES, approximate=True)
                pipe.xdel(keys.SPOOL, entry.entry_id)
                await pipe.execute()


def _encode(tenant: str, turns: CommitTurns) -> dict[Any, Any]:
    return {"tenant": tenant, "turns": orjson.dumps(turns.model_dump(mode="json"))}


def _decode(entry_id: bytes, fields: dict[bytes, bytes]) -> SpooledTurns:
    return SpooledTurns(
        entry_id.decode(), fields[b"tenant"].decode(), CommitTurns.model_validate_json(fields[b"turns"])
    )


async def flush_once(spool: TurnSpool, memory: MemoryPeer) -> int:
    """Bring over one page; returns how many entries left the spool. Raises the first retryable failure."""
    entries = await spool.oldest()
    for entry in entries:
        try:
            await memory.commit(entry.tenant, entry.turns)
        except DomainError as error:
            if error.retryable:
                raise
            log.error("spooled turns refused for good", extra={"entry": entry.entry_id, "code": error.code})
            await spool.set_aside(entry)
        else:
            await spool.remove(entry)
    return len(entries)


async def flush_forever(spool: TurnSpool, memory: MemoryPeer) -> None:
    while True:
        try:
            while await flush_once(spool, memory) == PAGE:
                pass
        except DomainError as error:
            log.debug("spool waits", extra={"code": error.code})
        await asyncio.sleep(FLUSH_SECONDS)
