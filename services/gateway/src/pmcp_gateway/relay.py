"""Events of the broker → the clients of this gateway that wait for them: each once, in order, without gaps.

One subscription for the process. Live events make it fast, the stored stream makes it right: whenever a position is
skipped, the subscription is new, or a stream has been silent, the stream is read after the last position. A broker
that lost its data gets its jobs back under a new epoch: the client is told, and hears the reply from its beginning.
Nothing here waits for a client.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from pmcp_common.bus import UNREADABLE, Position, StreamBus
from pmcp_common.clock import Clock
from pmcp_common.contracts.errors import DeadlineExceeded, DomainError, InternalError, StreamNotFound, Unavailable
from pmcp_common.contracts.jobs import End, StreamEvent
from pmcp_gateway.metrics import CATCH_UPS, STREAMS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RelayLimits:
    first_look_seconds: float = 1.0
    """Silence after which a stream is read; doubles while it stays silent: a slow model costs few reads."""
    longest_look_seconds: float = 5.0
    concurrent_reads: int = 8
    tick_seconds: float = 0.25
    deadline_seconds: float = 300.0
    """Of a reply that has none of its own."""
    late_seconds: float = 2.0
    """Past a deadline: workers and reaper have had their chance, the broker is asked to end the reply."""
    give_up_seconds: float = 30.0
    """Past a deadline: the broker is away too, the client is told by us."""
    resubscribe_seconds: float = 0.5
    lost_seconds: float = 45.0
    """A stream that is gone with the broker's data is waited for: so long it may take until its job is queued again."""
    lost_look_seconds: float = 0.5


class Receiver(Protocol):
    """A client's end of a stream. No method may wait or raise; exactly one end reaches it."""

    def take(self, event: StreamEvent) -> None: ...

    def restart(self, epoch: str) -> None:
        """The data was lost: what came so far is void, and the reply comes anew from position 1."""
        ...

    def give_up(self, error: DomainError) -> None:
        """No end event will come."""
        ...


Expire = Callable[[str, str, str], Awaitable[float]]
"""`JobQueue.expire`: tenant, principal, stream id → 0 when it has ended, else seconds until then."""


class Watch:
    """One client's position in one stream. Events that come before `start` are kept until then."""

    __slots__ = (
        "_early", "_relay", "asking", "behind", "deadline", "doubted", "ended", "epoch", "last_seq", "late_at",
        "lost_at", "next_look", "patience", "principal", "reading", "receiver", "seconds", "started", "stream_id",
        "tenant", "timer",
    )  # fmt: skip

    def __init__(self, relay: Relay, tenant: str, principal: str, stream_id: str, receiver: Receiver) -> None:
        self._relay = relay
        self.tenant, self.principal, self.stream_id = tenant, principal, stream_id
        self.receiver = receiver
        self.epoch = ""
        self.last_seq = 0
        self.started = self.ended = self.reading = self.behind = self.asking = False
        self.doubted = False
        """Live events may be of another epoch, which they do not name: the stream is read before one is taken."""
        self.lost_at: float | None = None
        """When the stream was found to be gone."""
        self.next_look = self.deadline = self.late_at = self.patience = self.seconds = 0.0
        self.timer: asyncio.TimerHandle | None = None
        """Of the client's own deadline, which a sweep would keep a tick late."""
        self._early: list[StreamEvent] = []

    def start(self, epoch: str, *, look_now: bool = False, deadline_seconds: float | None = None) -> None:
        """The job is stored. `look_now`: events may have gone to another gateway."""
        self.epoch = epoch
        self.started = True
        self.seconds = deadline_seconds or self._relay.limits.deadline_seconds
        now = self._relay.begin(self)
        if deadline_seconds is not None:
            self._relay.end_in(self, deadline_seconds)
        early, self._early = self._early, []
        for event in early:
            self.accept(event, now)
        if look_now and not self.ended:
            self._relay.look(self)

    def hear(self, event: StreamEvent, now: float) -> None:
        """A live event."""
        if event.seq == 1 and self.last_seq and self.started:
            self.doubted = True  # a late repetition, or the beginning of another life
        if self.doubted and not self.ended:
            self.behind = True
            self._relay.look(self)
            return
        self.accept(event, now)

    def accept(self, event: StreamEvent, now: float) -> None:
        if not self.started:
            self._early.append(event)
            return
        expected = self.last_seq + 1
        if event.seq < expected or self.ended:
            return
        if event.seq > expected:
            self.behind = True
            self._relay.look(self)
            return
        self.last_seq = event.seq
        self._relay.heard(self, now)
        if isinstance(event, End):
            self.stop()
        self.receiver.take(event)

    def restart(self, epoch: str) -> None:
        self.epoch, self.last_seq, self.lost_at = epoch, 0, None
        self.receiver.restart(epoch)

    def fail(self, error: DomainError) -> None:
        if not self.ended:
            self.stop()
            self.receiver.give_up(error)

    def stop(self) -> None:
        """No more events; the stream itself goes on. Repeating it is harmless."""
        if not self.ended:
            self.ended = True
            self._relay.forget(self)


class Relay:
    def __init__(
        self,
        bus: StreamBus,
        gateway_id: str,
        clock: Clock,
        limits: RelayLimits | None = None,
        expire: Expire | None = None,
    ) -> None:
        self._bus = bus
        self._gateway_id = gateway_id
        self._clock = clock
        self.limits = limits or RelayLimits()
        self._expire = expire
        self._watches: dict[str, tuple[Watch, ...]] = {}
        self._reads: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Semaphore(self.limits.concurrent_reads)

    def watch(self, tenant: str, principal: str, stream_id: str, receiver: Receiver) -> Watch:
        """Call before the job is submitted, so that no live event is missed; then `start` or `stop` it."""
        watch = Watch(self, tenant, principal, stream_id, receiver)
        self._watches[stream_id] = (*self._watches.get(stream_id, ()), watch)
        STREAMS.inc()
        return watch

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(), name="relay-listen")
                group.create_task(self._tick(), name="relay-tick")
        finally:
            for task in self._reads:
                task.cancel()

    async def _listen(self) -> None:
        while True:
            try:
                async for batch in self._bus.subscribe(self._gateway_id):
                    self._take(batch)
            except (DomainError, *UNREADABLE) as error:
                # A message that is no event of ours; the streams themselves are read after the next subscription.
                log.warning("live channel broken", extra={"error": type(error).__name__})
            await asyncio.sleep(self.limits.resubscribe_seconds)

    def _take(self, batch: Iterable[StreamEvent]) -> None:
        if not batch:
            for watch in self._all():
                if watch.started:
                    watch.doubted = True
                    self.look(watch)
            return
        now = self._clock.monotonic()
        for event in batch:
            for watch in self._watches.get(event.stream_id, ()):
                watch.hear(event, now)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.limits.tick_seconds)
            self.sweep()

    def sweep(self) -> None:
        """Look at the streams that have been silent; end those whose broker will never end them."""
        now = self._clock.monotonic()
        for watch in self._all():
            if not watch.started:
                continue
            if now >= watch.deadline:
                watch.fail(DeadlineExceeded(f"Streaming request timed out after {watch.seconds:g} seconds"))
                continue
            if now >= watch.late_at and not watch.asking and self._expire is not None:
                self._run(self._end_late(watch, self._expire))
            if now >= watch.next_look:
                watch.patience = min(2 * watch.patience, self.limits.longest_look_seconds)
                watch.next_look = now + watch.patience
                self.look(watch)

    def _all(self) -> list[Watch]:
        return [watch for watches in self._watches.values() for watch in watches]

    def begin(self, watch: Watch) -> float:
        now = self._clock.monotonic()
        watch.late_at = now + watch.seconds + self.limits.late_seconds
        watch.deadline = now + watch.seconds + self.limits.give_up_seconds
        self.heard(watch, now)
        return now

    def heard(self, watch: Watch, now: float) -> None:
        watch.patience = self.limits.first_look_seconds
        watch.next_look = now + watch.patience

    def end_in(self, watch: Watch, seconds: float) -> None:
        watch.timer = asyncio.get_running_loop().call_later(seconds, self._end_due, watch)

    def _end_due(self, watch: Watch) -> None:
        if not watch.ended and not watch.asking and self._expire is not None:
            self._run(self._end_late(watch, self._expire))

    def forget(self, watch: Watch) -> None:
        if watch.timer is not None:
            watch.timer.cancel()
        rest = tuple(other for other in self._watches.get(watch.stream_id, ()) if other is not watch)
        if rest:
            self._watches[watch.stream_id] = rest
        else:
            self._watches.pop(watch.stream_id, None)
        STREAMS.dec()

    def look(self, watch: Watch) -> None:
        """Read the stream after the last position, once at a time per watch."""
        if watch.reading:
            watch.behind = True
            return
        watch.reading = True
        CATCH_UPS.inc()
        self._run(self._catch_up(watch))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="relay-read")
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)

    async def _end_late(self, watch: Watch, expire: Expire) -> None:
        """Nobody else has ended this reply in time: have the broker end it, so that all readers see one end."""
        watch.asking = True
        try:
            async with self._gate:
                seconds = await expire(watch.tenant, watch.principal, watch.stream_id)
            now = self._clock.monotonic()
            watch.late_at = now + max(1.0, seconds)
            if seconds and not watch.ended:
                # Of a repeated message, or one that was queued again, the broker may know a later deadline.
                watch.deadline = max(watch.deadline, now + seconds + self.limits.give_up_seconds)
                if watch.timer is not None:
                    self.end_in(watch, seconds)
            self.look(watch)
        except Unavailable:
            watch.late_at = self._clock.monotonic() + 1.0
        except StreamNotFound:
            watch.late_at = self._clock.monotonic() + 1.0
            self.look(watch)
        except DomainError as error:
            watch.fail(error)
        except UNREADABLE as error:
            log.warning("stored job unreadable", extra={"error": type(error).__name__})
            watch.fail(InternalError("The reply cannot be ended: its job cannot be read"))
        finally:
            watch.asking = False

    async def _catch_up(self, watch: Watch) -> None:
        try:
            async with self._gate:
                while not watch.ended and await self._read_once(watch):
                    pass
        except Unavailable:
            pass  # the next look is due within seconds
        except DomainError as error:
            watch.fail(error)
        except UNREADABLE as error:
            log.warning("stored event unreadable", extra={"error": type(error).__name__})
            watch.fail(InternalError("The stream holds an event that cannot be read"))
        finally:
            watch.reading = False

    async def _read_once(self, watch: Watch) -> bool:
        """True: there is more to read."""
        watch.behind = False
        try:
            page = await self._bus.read(watch.tenant, watch.principal, watch.stream_id, watch.last_seq)
        except StreamNotFound:
            if await self._will_not_return(watch):
                raise
            return self._miss(watch)
        if page.epoch != watch.epoch:
            return await self._begin_anew(watch, page.epoch)
        watch.doubted, watch.lost_at = False, None
        before, now = watch.last_seq, self._clock.monotonic()
        for event in page.events:
            watch.accept(event, now)
        return watch.behind or before < watch.last_seq < page.head_seq

    async def _will_not_return(self, watch: Watch) -> bool:
        """One truth: what the client is told is gone may not be answered by a worker that comes later."""
        if watch.lost_at is None:
            return False
        waited = self._clock.monotonic() - watch.lost_at
        return await self._bus.give_up(watch.tenant, watch.stream_id, at_once=waited >= self.limits.lost_seconds)

    def _miss(self, watch: Watch) -> bool:
        """The stream was there when the client was told of it: it is gone with the broker's data."""
        now = self._clock.monotonic()
        first, watch.doubted = watch.lost_at is None, True
        if first:
            watch.lost_at = now
        watch.next_look = now + self.limits.lost_look_seconds
        return first

    async def _begin_anew(self, watch: Watch, epoch: str) -> bool:
        position = Position(watch.stream_id, epoch, 0)
        (found,) = await self._bus.attach(watch.tenant, watch.principal, self._gateway_id, [position])
        if found.reason is not None:
            return self._miss(watch)
        watch.doubted = True
        watch.restart(epoch)
        self.heard(watch, self._clock.monotonic())
        return True
