"""What becomes of replies whose socket was lost and did not come back in time: on, ended, or ended and forgotten.

A lost socket is not a cancel. The reply is decided about after a grace time, and only when no other socket has attached
the stream since then. What is to be decided is kept in the broker, so that it outlives the gateway that noted it: any
gateway decides what is due. Below it: ports to the broker. Adapter: `interruptions_redis`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pmcp_common.contracts.errors import DomainError, Unavailable
from pmcp_common.queue import JobQueue
from pmcp_gateway.methods.call import Live

log = logging.getLogger(__name__)

CONTINUE, RESET = "continue", "reset"
LOOK_SECONDS = 1.0
LEAVE_SECONDS = 1.0
"""How long a gateway that ends may take to hand over what it has noted."""
MAX_NOTED = 10_000
"""While the broker is away; the replies of those beyond go on."""


@dataclass(frozen=True, slots=True)
class Interruption:
    tenant: str
    principal: str
    stream_id: str
    policy: str
    attachment: int


class InterruptionBook(Protocol):
    """Every method raises Unavailable."""

    async def exchange(self, noted: Sequence[Interruption], grace_seconds: float) -> list[Interruption]:
        """Keep these, and get those that are due. Each is due again a little later, until it is struck."""
        ...

    async def strike(self, decided: Sequence[Interruption]) -> None: ...


class Interruptions:
    def __init__(self, book: InterruptionBook, queue: JobQueue, grace_seconds: float) -> None:
        self._book = book
        self._queue = queue
        self._grace_seconds = grace_seconds
        self._noted: list[Interruption] = []

    def note(self, tenant: str, principal: str, replies: Iterable[Live]) -> None:
        """The socket that brought these is gone."""
        for live in replies:
            if live.on_interrupt != CONTINUE and len(self._noted) < MAX_NOTED:
                self._noted.append(Interruption(tenant, principal, live.stream_id, live.on_interrupt, live.attachment))

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        while True:
            await sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """One pass."""
        try:
            due = await self._exchange()
            if due:
                await self._book.strike([one for one in due if await self._decided(one)])
        except Unavailable:
            log.debug("interrupted replies wait")

    async def leave(self) -> None:
        """This gateway ends: another one decides."""
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._exchange()
        except (Unavailable, TimeoutError):
            log.warning("interrupted replies go on", extra={"replies": len(self._noted)})

    async def _exchange(self) -> list[Interruption]:
        noted, self._noted = self._noted, []
        try:
            return await self._book.exchange(noted, self._grace_seconds)
        except BaseException:
            self._noted = noted + self._noted
            raise

    async def _decided(self, one: Interruption) -> bool:
        heard = 0 if one.policy == RESET else None
        fields = {"job": one.stream_id, "policy": one.policy}
        try:
            state = await self._queue.cancel(
                one.tenant, one.principal, one.stream_id, heard_chars=heard, attachment=one.attachment
            )
        except Unavailable:
            return False
        except DomainError as error:
            log.info("interrupted reply is gone", extra={**fields, "code": error.code})
        else:
            log.info("reply was interrupted", extra={**fields, "state": state})
        return True
