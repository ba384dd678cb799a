"""Port: turns owed to the memory service while it is away; and the task that brings them over.

At-least-once and idempotent: turns have ids, so that several workers may bring the same ones. An entry the memory
service refuses, or fails at each time, is set aside; until then only its own conversation waits behind it. A service
that is away, slow or busy has not failed at anything. Adapter: `turn_spool_redis`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pmcp_common.contracts.errors import INTERNAL_ERROR, DomainError
from pmcp_common.contracts.memories import CommitTurns
from pmcp_common.peers import MemoryPeer
from pmcp_llm_worker import metrics

log = logging.getLogger(__name__)

PAGE = 100
FLUSH_SECONDS = 0.5
"""Meanwhile other replies of the same conversation join the line, and say `persisted: false`."""
MAX_TRIES = 10
MAX_TRY_SECONDS = 300.0
"""Both have to pass: many workers try often, and a service may be mended within minutes."""
SET_ASIDE = "spooled turns set aside: mend the cause, see the log of the memory service; then put them back"
"""How: docs/limits.md."""


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

    async def count_try(self, entry: SpooledTurns) -> tuple[int, float]:
        """The service failed at this entry: how often by now, and seconds since the first time."""
        ...

    async def set_aside(self, entry: SpooledTurns, reason: str) -> None:
        """Keep an entry the memory service will never take where an operator finds it."""
        ...


async def flush_once(spool: TurnSpool, memory: MemoryPeer) -> int:
    """Bring over one page; returns how many entries left the spool. Raises what is no fault of an entry."""
    left = 0
    waiting: set[tuple[str, str]] = set()
    for entry in await spool.oldest():
        conversations = {(entry.tenant, turn.conversation_id) for turn in entry.turns.turns}
        if conversations & waiting:
            waiting |= conversations
        elif await _bring(spool, memory, entry):
            left += 1
        else:
            waiting |= conversations
    return left


async def _bring(spool: TurnSpool, memory: MemoryPeer, entry: SpooledTurns) -> bool:
    """Whether the entry has left the spool."""
    try:
        await memory.commit(entry.tenant, entry.turns)
    except DomainError as error:
        if error.retryable and error.code != INTERNAL_ERROR.code:
            raise
        fields = {"entry": entry.entry_id, "code": error.code}
        if error.retryable:
            tries, seconds = await spool.count_try(entry)
            if tries < MAX_TRIES or seconds < MAX_TRY_SECONDS:
                log.warning("memory failed at spooled turns", extra={**fields, "tries": tries})
                return False
        log.error(SET_ASIDE, extra=fields)
        await spool.set_aside(entry, f"{error.code} {error.message}")
        metrics.SET_ASIDE.inc()
        return True
    await spool.remove(entry)
    return True


async def flush_forever(spool: TurnSpool, memory: MemoryPeer) -> None:
    while True:
        try:
            # Until it is empty: as long as an entry waits, each reply of its conversation joins the line behind it.
            while await flush_once(spool, memory):
                pass
        except DomainError as error:
            log.debug("spool waits", extra={"code": error.code})
        await asyncio.sleep(FLUSH_SECONDS)
