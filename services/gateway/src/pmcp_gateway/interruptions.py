"""What becomes of replies whose socket was lost and did not come back in time: on, ended, or ended and forgotten.

A lost socket is not a cancel. The gateway that held it decides after a grace time, and only when no other socket has
attached the stream since then. Should the gateway itself die meanwhile, the replies go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from pmcp_common.contracts.errors import DomainError, Unavailable
from pmcp_common.queue import JobQueue
from pmcp_gateway.methods.call import Live

log = logging.getLogger(__name__)

CONTINUE, RESET = "continue", "reset"
TRIES = 3


class Interruptions:
    def __init__(self, queue: JobQueue, grace_seconds: float) -> None:
        self._queue = queue
        self._grace_seconds = grace_seconds
        self._tasks: set[asyncio.Task[None]] = set()

    def note(self, tenant: str, principal: str, replies: Iterable[Live]) -> None:
        """The socket that brought these is gone."""
        for live in replies:
            if live.on_interrupt == CONTINUE:
                continue
            task = asyncio.create_task(self._decide(tenant, principal, live), name="interruption")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _decide(self, tenant: str, principal: str, live: Live) -> None:
        for _ in range(TRIES):
            await asyncio.sleep(self._grace_seconds)
            try:
                await self._end(tenant, principal, live)
            except Unavailable:
                continue
            except DomainError as error:
                log.info("interrupted reply is gone", extra={"job": live.stream_id, "code": error.code})
            return

    async def _end(self, tenant: str, principal: str, live: Live) -> None:
        heard = 0 if live.on_interrupt == RESET else None
        state = await self._queue.cancel(
            tenant, principal, live.stream_id, heard_chars=heard, attachment=live.attachment
        )
        log.info("reply was interrupted", extra={"job": live.stream_id, "policy": live.on_interrupt, "state": state})
