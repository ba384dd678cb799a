"""`TurnSpool` on a Redis Stream, bounded: at the limit the oldest entries are lost rather than Redis."""

from __future__ import annotations

import logging
from collections.abc import Sequence

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
        self._put, self._leave = Script(redis, "spool"), Script(redis, "spool_leave")
        self._count = Script(redis, "count_try")

    async def put(self, tenant: str, turns: CommitTurns) -> None:
        arguments: list[str | int | bytes] = [keys.SPOOL_ENTRIES, tenant, encode_turns(turns), *_conversations(turns)]
        await self._put([keys.SPOOL, keys.SPOOL_OWED], arguments)

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
                await self._end(entry_id, "unreadable")
                metrics.SET_ASIDE.inc()
        return readable

    async def remove(self, entry: SpooledTurns) -> None:
        await self._end(entry.entry_id, "", entry)

    async def count_try(self, entry: SpooledTurns) -> tuple[int, float]:
        tries, waited_ms = await self._count([keys.SPOOL_TRIES], [entry.entry_id])
        return int(tries), int(waited_ms) / 1000

    async def set_aside(self, entry: SpooledTurns, reason: str) -> None:
        await self._end(entry.entry_id, reason, entry)

    async def _end(self, entry_id: bytes | str, reason: str, entry: SpooledTurns | None = None) -> None:
        names = [keys.SPOOL, keys.SPOOL_OWED, keys.SPOOL_TRIES, keys.SPOOL_REFUSED]
        owed = [] if entry is None else [f"{entry.tenant}/{one}" for one in _conversations(entry.turns)]
        await self._leave(names, [entry_id, reason, keys.SPOOL_ENTRIES, *owed])


def _conversations(turns: CommitTurns) -> list[str]:
    return sorted({turn.conversation_id for turn in turns.turns})


def _decode(entry_id: bytes, fields: dict[bytes, bytes]) -> SpooledTurns:
    return SpooledTurns(
        entry_id.decode(), fields[b"tenant"].decode(), CommitTurns.model_validate_json(fields[b"turns"], extra="ignore")
    )
