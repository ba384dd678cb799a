"""`TurnSpool` on a Redis Stream, bounded: at the limit the oldest entries are lost rather than Redis."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from pmcp_common.contracts import keys
from pmcp_common.contracts.memories import CommitTurns
from pmcp_common.redis_link import BytesRedis, Script, broker_errors
from pmcp_common.turn_rows import encode_turns
from pmcp_llm_worker import metrics
from pmcp_llm_worker.turn_spool import PAGE, SET_ASIDE, SpooledTurns

log = logging.getLogger(__name__)


class RedisTurnSpool:
    def __init__(self, redis: BytesRedis) -> None:
        self._redis = redis
        self._count, self._aside = Script(redis, "count_try"), Script(redis, "set_turns_aside")

    async def put(self, tenant: str, turns: CommitTurns) -> None:
        with broker_errors():
            await self._redis.xadd(keys.SPOOL, _encode(tenant, turns), maxlen=keys.SPOOL_ENTRIES, approximate=True)

    async def oldest(self) -> Sequence[SpooledTurns]:
        """An entry that cannot be read (of another version, or damaged) is set aside as it is."""
        with broker_errors():
            entries = await self._redis.xrange(keys.SPOOL, count=PAGE)
        readable = []
        for entry_id, fields in entries:
            try:
                readable.append(_decode(entry_id, fields))
            except (ValueError, KeyError):
                log.exception(SET_ASIDE, extra={"entry": entry_id.decode()})
                await self._move_aside(entry_id, "unreadable")
                metrics.SET_ASIDE.inc()
        return readable

    async def remove(self, entry: SpooledTurns) -> None:
        with broker_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.xdel(keys.SPOOL, entry.entry_id)
                pipe.hdel(keys.SPOOL_TRIES, entry.entry_id)
                await pipe.execute()

    async def count_try(self, entry: SpooledTurns) -> tuple[int, float]:
        tries, waited_ms = await self._count([keys.SPOOL_TRIES], [entry.entry_id])
        return int(tries), int(waited_ms) / 1000

    async def set_aside(self, entry: SpooledTurns, reason: str) -> None:
        await self._move_aside(entry.entry_id, reason)

    async def _move_aside(self, entry_id: bytes | str, reason: str) -> None:
        names = [keys.SPOOL, keys.SPOOL_REFUSED, keys.SPOOL_TRIES]
        await self._aside(names, [entry_id, keys.SPOOL_ENTRIES, reason])


def _encode(tenant: str, turns: CommitTurns) -> dict[Any, Any]:
    return {"tenant": tenant, "turns": encode_turns(turns)}


def _decode(entry_id: bytes, fields: dict[bytes, bytes]) -> SpooledTurns:
    return SpooledTurns(
        entry_id.decode(), fields[b"tenant"].decode(), CommitTurns.model_validate_json(fields[b"turns"], extra="ignore")
    )
