"""Port: streams of reply events. The stream is the truth; the live channel only makes it fast.

A subscriber reads after its last position whenever it suspects a loss, so a lost live message is harmless.
Adapters: `bus_redis`, `testing.broker_memory` (the twin).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pmcp_common.contracts.jobs import AppendResult, Claim, Delta, JobState, StreamEvent, StreamPage

UNREADABLE = (ValueError, KeyError, TypeError)
"""What decoding raises when no process of this version wrote what is stored."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a client is in a stream."""

    stream_id: str
    epoch: str
    last_seq: int


@dataclass(frozen=True, slots=True)
class Attachment:
    """What became of an attempt to attach. `reason`: epoch_changed, expired, gap, ahead, not_resumable; None: attached.

    A stream that is unknown, foreign or past its window is not_resumable: the three are not told apart.
    """

    epoch: str
    """Of the data as it is now; empty when there is none."""
    state: JobState | None = None
    head_seq: int = 0
    attachment: int = 0
    on_interrupt: str = "continue"
    reason: str | None = None


class StreamBus(Protocol):
    async def append(self, batch: Sequence[tuple[Claim, Delta]]) -> list[AppendResult]:
        """Append one delta to each of several streams in one round trip; results in the order of `batch`."""
        ...

    async def read(self, tenant: str, principal: str, stream_id: str, after_seq: int, limit: int = 1000) -> StreamPage:
        """Events with seq > `after_seq`. Raises StreamNotFound for unknown, expired and foreign streams."""
        ...

    async def attach(
        self, tenant: str, principal: str, gateway_id: str, positions: Sequence[Position]
    ) -> list[Attachment]:
        """Move the live channels of several streams to a gateway, in one round trip; results in order.

        All or nothing for each stream: attached only when every event of it can still be read. Be subscribed
        before, and read after it: then nothing falls between what is stored and what is live.
        """
        ...

    async def give_up(self, tenant: str, stream_id: str, *, at_once: bool = False) -> bool:
        """A lost stream is waited for no longer. True: it will never be queued again.

        False: it is there again; or what was lost with the broker's data is not all queued again yet, as far as it
        was recorded, and it may be among it. `at_once`: then, too.
        """
        ...

    def subscribe(self, gateway_id: str) -> AsyncIterator[Sequence[StreamEvent]]:
        """Live events for the streams this gateway owns, in batches, until closed.

        Yields an empty batch once the subscription stands, and again after each reconnection: the moment at
        which a reader must look at the streams themselves.
        """
        ...

    def cancellations(self) -> AsyncGenerator[tuple[str, str] | None, None]:
        """Hints (tenant, job id) that a running reply was cancelled; may be lost, the flag in the job is not.

        None once the subscription stands, and again when data may have been lost: look at your own.
        """
        ...
