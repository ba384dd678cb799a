"""One reply, its broker in memory, and the relay of its gateway with a client that takes down what comes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from pmcp_common.contracts.errors import DomainError, Unavailable
from pmcp_common.contracts.jobs import Claim, Delta, End, StreamEvent, StreamPage, Submission
from pmcp_common.testing.broker_memory import MemoryBroker
from pmcp_gateway.relay import Relay, Watch

from .conftest import SteppedClock

SUBMISSION = Submission(
    tenant="local",
    principal="local",
    job_id="job",
    message_id="m",
    user_message_id="u",
    session_id="s",
    player_id="p",
    message="Hi",
    token_budget=10,
    streaming=True,
    gateway_id="gw",
    request_id="r",
    accepted_at_ms=0,
    persona_id="aria",
)


class Client:
    def __init__(self) -> None:
        self.events: list[StreamEvent] = []
        self.failure: DomainError | None = None
        self.restarts: list[str] = []
        self.changed = asyncio.Event()

    def take(self, event: StreamEvent) -> None:
        self.events.append(event)
        self.changed.set()

    def restart(self, epoch: str) -> None:
        self.restarts.append(epoch)
        self.events.clear()
        self.changed.set()

    def give_up(self, error: DomainError) -> None:
        assert self.failure is None
        self.failure = error
        self.changed.set()

    @property
    def seqs(self) -> list[int]:
        return [event.seq for event in self.events]

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.events) < count and self.failure is None:
                self.changed.clear()
                await self.changed.wait()

    async def until_restarted(self) -> None:
        async with asyncio.timeout(5):
            while not self.restarts:
                self.changed.clear()
                await self.changed.wait()

    async def until_failed(self) -> DomainError:
        await self.until(1_000_000)
        assert self.failure is not None
        return self.failure


class Broker(MemoryBroker):
    """The twin, whose live channel loses what a test says, and which can be away."""

    def __init__(self, clock: SteppedClock) -> None:
        super().__init__(clock)
        self.lost: set[int] = set()
        self.away = False
        self.reads = 0

    def _publish(self, gateway_id: str, events: Sequence[StreamEvent]) -> None:
        super()._publish(gateway_id, [event for event in events if event.seq not in self.lost] or [ALIEN])

    async def read(self, tenant: str, principal: str, stream_id: str, after_seq: int, limit: int = 1000) -> StreamPage:
        self.reads += 1
        if self.away:
            raise Unavailable("away", retry_after=1.0)
        return await super().read(tenant, principal, stream_id, after_seq, limit)


ALIEN = Delta("unknown", 1, 1, "?")


class Scene:
    """One job, claimed, and the relay of its gateway."""

    def __init__(self) -> None:
        self.clock = SteppedClock()
        self.broker = Broker(self.clock)
        self.relay = Relay(self.broker, "gw", self.clock)
        self.client = Client()
        self.said = 0
        self.claim: Claim

    async def begin(self) -> None:
        await self.broker.submit(SUBMISSION)
        claim = await self.broker.claim("local", "job")
        assert isinstance(claim, Claim)
        self.claim = claim

    def watch(self) -> Watch:
        return self.relay.watch("local", "local", "job", self.client)

    async def say(self, *texts: str) -> None:
        for text in texts:
            self.said += 1
            await self.broker.append([(self.claim, Delta("job", self.said, 1, text))])

    async def end(self) -> None:
        end = End("job", self.said + 1, 1, "done", "stop", "", hashlib.sha256().hexdigest(), "m", "u", "aria", "Aria")
        assert await self.broker.finish(self.claim, end, remember=False)

    @asynccontextmanager
    async def relaying(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.relay.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def begun() -> Scene:
    scene = Scene()
    await scene.begin()
    return scene


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
