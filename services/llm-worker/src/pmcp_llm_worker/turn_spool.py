"""Port: turns owed to the memory service while it is away; and the task that brings them over.

At-least-once and idempotent: turns have ids, so that several workers may bring the same ones. An entry the memory
service refuses for good is set aside, so that it does not hold up those behind it. Adapter: `turn_spool_redis`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.memories import CommitTurns
from pmcp_common.peers import MemoryPeer

log = logging.getLogger(__name__)

PAGE = 100
FLUSH_SECONDS = 2.0


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
            # Until it is empty: as long as one entry waits, each reply that ends joins the line behind it.
            while await flush_once(spool, memory):
                pass
        except DomainError as error:
            log.debug("spool waits", extra={"code": error.code})
        await asyncio.sleep(FLUSH_SECONDS)
