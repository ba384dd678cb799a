"""How often each memory was recalled: counted here, written now and then, never while a player waits.

A count is worth little: what a crash or a full table loses is not missed, and nothing waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from pmcp_common.clock import Clock
from pmcp_memory.database import surviving

log = logging.getLogger(__name__)

MAX_NOTED = 10_000
"""Memories between two writes; more are not counted."""


class AccessWriter(Protocol):
    async def count_accesses(self, tenant: str, times: Mapping[str, int], at: datetime) -> None: ...


class AccessCounts:
    def __init__(self, writer: AccessWriter, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._noted: Counter[tuple[str, str]] = Counter()

    def note(self, tenant: str, memory_ids: Iterable[str]) -> None:
        for memory_id in memory_ids:
            if (tenant, memory_id) in self._noted or len(self._noted) < MAX_NOTED:
                self._noted[tenant, memory_id] += 1

    async def flush(self) -> None:
        """Write what was noted; a database that is away or refuses it loses it."""
        noted, self._noted = self._noted, Counter()
        by_tenant: dict[str, dict[str, int]] = {}
        for (tenant, memory_id), times in noted.items():
            by_tenant.setdefault(tenant, {})[memory_id] = times
        for tenant, times_by_id in by_tenant.items():
            with surviving(log, "accesses not counted", memories=len(times_by_id)):
                await self._writer.count_accesses(tenant, times_by_id, self._clock.now())

    async def flush_every(self, seconds: float) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            await self.flush()
