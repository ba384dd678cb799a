from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from pmcp_common.contracts.errors import DomainError, StreamNotFound, Unavailable
from pmcp_common.contracts.jobs import Claim, Delta, End, StreamEvent, StreamPage, Submission
from pmcp_common.testing.broker_memory import MemoryBroker
from pmcp_gateway.relay import Relay, RelayLimits, Watch

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


@pytest.fixture
async def scene() -> Scene:
    scene = Scene()
    await scene.begin()
    return scene


async def test_live_events_arrive_once_and_in_order(scene: Scene) -> None:
    watch = scene.watch()
    async with scene.relaying():
        watch.start("memory")
        await scene.say("a", "b")
        await scene.end()
        await scene.client.until(3)
    assert scene.client.seqs == [1, 2, 3]
    assert watch.ended


async def test_events_before_the_answer_to_submit_are_kept(scene: Scene) -> None:
    watch = scene.watch()
    now = scene.clock.monotonic()
    watch.accept(Delta("job", 1, 1, "a"), now)
    assert scene.client.events == []
    watch.start("memory")
    assert scene.client.seqs == [1]


async def test_what_the_live_channel_lost_is_read_from_the_stream(scene: Scene) -> None:
    watch = scene.watch()
    scene.broker.lost = {2, 3}
    async with scene.relaying():
        watch.start("memory")
        await scene.say("a", "b", "c", "d")
        await scene.end()
        await scene.client.until(5)
    assert scene.client.seqs == [1, 2, 3, 4, 5]


async def test_a_new_subscription_looks_at_what_was_missed(scene: Scene) -> None:
    watch = scene.watch()
    watch.start("memory")
    await scene.say("a")
    async with scene.relaying():
        await scene.client.until(1)
    assert scene.client.seqs == [1]


async def test_a_silent_stream_is_looked_at_ever_less_often(scene: Scene) -> None:
    scene.watch().start("memory")
    looked: list[float] = []
    for _ in range(80):
        scene.clock.seconds += 0.25
        before = scene.broker.reads
        scene.relay.sweep()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if scene.broker.reads > before:
            looked.append(scene.clock.seconds - 1000)
    assert looked == [1, 3, 7, 12, 17]


async def test_a_lost_end_is_found_by_looking(scene: Scene) -> None:
    scene.broker.lost = {1}
    watch = scene.watch()
    watch.start("memory")
    await scene.end()
    scene.clock.seconds += 1
    scene.relay.sweep()
    await scene.client.until(1)
    assert watch.ended


async def test_a_broker_that_is_away_is_asked_again_later(scene: Scene) -> None:
    scene.watch().start("memory", look_now=True)
    scene.broker.away = True
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert scene.client.failure is None
    scene.broker.away = False
    await scene.say("a")
    scene.clock.seconds += 1
    scene.relay.sweep()
    await scene.client.until(1)
    assert scene.client.seqs == [1]


async def test_the_streams_own_end_is_the_only_one(scene: Scene) -> None:
    watch = scene.watch()
    watch.start("memory")
    now = scene.clock.monotonic()
    await scene.say("a")
    await scene.end()
    page = await scene.broker.read("local", "local", "job", 0)
    for event in (*page.events, *page.events):
        watch.accept(event, now)
    watch.fail(Unavailable("late"))
    assert scene.client.seqs == [1, 2]
    assert scene.client.failure is None


async def test_a_stream_of_another_epoch_begins_anew_and_its_live_events_come_here(scene: Scene) -> None:
    await scene.broker.submit(replace(SUBMISSION, job_id="other", gateway_id="elsewhere"))
    claim = await scene.broker.claim("local", "other")
    assert isinstance(claim, Claim)
    await scene.broker.append([(claim, Delta("other", 1, 1, "new "))])
    watch = scene.relay.watch("local", "local", "other", scene.client)
    watch.start("an older life")
    for seq in (1, 2):
        watch.accept(Delta("other", seq, 1, "old"), scene.clock.monotonic())
    async with scene.relaying():
        await scene.client.until_restarted()
        await scene.client.until(1)
        await scene.broker.append([(claim, Delta("other", 2, 1, "text"))])
        await scene.client.until(2)
    assert scene.client.restarts == ["memory"]
    assert [event.text for event in scene.client.events] == ["new ", "text"]
    watch.stop()


async def test_a_live_event_of_another_epoch_is_never_taken_for_the_next_one(scene: Scene) -> None:
    watch = scene.watch()
    watch.start("an older life")
    now = scene.clock.monotonic()
    watch.accept(Delta("job", 1, 1, "old"), now)
    await scene.say("new ", "text")
    for seq, text in ((1, "new "), (2, "text")):  # without a lost subscription: only the data went
        watch.hear(Delta("job", seq, 1, text), now)
    assert scene.client.seqs == [1]
    await scene.client.until_restarted()
    await scene.client.until(2)
    assert [event.text for event in scene.client.events] == ["new ", "text"]
    watch.stop()


async def test_a_stream_that_went_with_the_data_is_waited_for(scene: Scene) -> None:
    scene.broker.is_restored = False
    watch = scene.relay.watch("local", "local", "lost", scene.client)
    watch.start("an older life", look_now=True)
    for _ in range(20):
        await _settled()
        scene.clock.seconds += 0.5
        scene.relay.sweep()
    assert scene.client.failure is None
    await scene.broker.submit(replace(SUBMISSION, job_id="lost"))
    scene.clock.seconds += 0.5
    scene.relay.sweep()
    await scene.client.until_restarted()
    assert scene.client.restarts == ["memory"]
    watch.stop()


async def test_a_stream_that_was_not_recorded_ends_once_all_others_are_back(scene: Scene) -> None:
    scene.broker.is_restored = False
    scene.relay.watch("local", "local", "lost", scene.client).start("an older life", look_now=True)
    await _settled()
    scene.broker.is_restored = True
    scene.clock.seconds += 0.5
    scene.relay.sweep()
    assert (await scene.client.until_failed()).code == -32006


async def test_a_lost_stream_is_not_waited_for_without_end(scene: Scene) -> None:
    scene.broker.is_restored = False
    scene.relay.watch("local", "local", "lost", scene.client).start("an older life", look_now=True)
    await _settled()
    scene.clock.seconds += scene.relay.limits.lost_seconds
    scene.relay.sweep()
    assert (await scene.client.until_failed()).code == -32006
    with pytest.raises(StreamNotFound):  # a worker that comes now may not answer it
        await scene.broker.submit(replace(SUBMISSION, job_id="lost", requeued=True))


async def test_a_stream_that_is_gone_is_said_to_be(scene: Scene) -> None:
    scene.relay.watch("local", "local", "gone", scene.client).start("memory", look_now=True)
    assert (await scene.client.until_failed()).code == -32006


async def test_a_stream_without_end_ends_for_its_client_at_the_deadline(scene: Scene) -> None:
    scene.watch().start("memory")
    scene.broker.away = True
    scene.clock.seconds += 331
    scene.relay.sweep()
    assert (await scene.client.until_failed()).message == "Streaming request timed out after 300 seconds"


async def test_a_late_reply_is_ended_through_the_broker_with_a_position_and_a_hash(scene: Scene) -> None:
    relay = Relay(scene.broker, "gw", scene.clock, expire=scene.broker.expire)
    watch = relay.watch("local", "local", "job", scene.client)
    watch.start("memory", deadline_seconds=5)
    await scene.say("a")
    scene.broker._jobs["local", "job"].deadline = scene.clock.seconds + 5
    scene.clock.seconds += 6.9
    relay.sweep()
    await _settled()
    assert [event.seq for event in scene.client.events] == [1]
    scene.clock.seconds += 3.2  # the lease has ended too
    relay.sweep()
    await scene.client.until(2)
    end = scene.client.events[-1]
    assert isinstance(end, End)
    assert (end.seq, end.state, end.finish_reason) == (2, "failed", "deadline")
    assert end.sha256 == hashlib.sha256(b"a").hexdigest()


async def test_a_broker_that_is_not_ready_to_end_a_reply_is_asked_again_when_it_says(scene: Scene) -> None:
    asked: list[float] = []

    async def expire(*_: str) -> float:
        asked.append(scene.clock.seconds - 1000)
        return 4.0

    relay = Relay(scene.broker, "gw", scene.clock, expire=expire)
    watch = relay.watch("local", "local", "job", scene.client)
    watch.start("memory", deadline_seconds=10)
    for _ in range(80):
        scene.clock.seconds += 0.25
        relay.sweep()
        await _settled()
    assert asked == [12, 16, 20]
    watch.stop()


async def test_a_deadline_of_the_clients_own_does_not_wait_for_a_sweep(scene: Scene) -> None:
    answers, asked_twice = [0.001, 0.0], asyncio.Event()

    async def expire(*_: str) -> float:
        left = answers.pop(0)
        if not answers:
            asked_twice.set()
        return left

    relay = Relay(scene.broker, "gw", scene.clock, expire=expire)
    watch = relay.watch("local", "local", "job", scene.client)
    watch.start("memory", deadline_seconds=0.001)
    await asyncio.wait_for(asked_twice.wait(), 5)
    await _settled()
    watch.stop()
    assert answers == []


async def test_the_brokers_deadline_counts_when_a_repeated_message_names_an_earlier_one(scene: Scene) -> None:
    async def expire(*_: str) -> float:
        return 1290.0 - scene.clock.seconds if scene.clock.seconds < 1290 else 0.0

    relay = Relay(scene.broker, "gw", scene.clock, expire=expire)
    watch = relay.watch("local", "local", "job", scene.client)
    watch.start("memory", deadline_seconds=1)
    for seconds in (3.1, 100, 180):
        scene.clock.seconds = 1000 + seconds
        relay.sweep()
        await _settled()
    assert scene.client.failure is None
    scene.broker.away = True
    for seconds in (292.0, 330.0):  # no longer than that, though it says that the reply has ended
        scene.clock.seconds = 1000 + seconds
        relay.sweep()
        await _settled()
    assert scene.client.failure is not None


async def test_a_stream_that_ended_in_time_has_no_timer_left(scene: Scene) -> None:
    relay = Relay(scene.broker, "gw", scene.clock, expire=scene.broker.expire)
    watch = relay.watch("local", "local", "job", scene.client)
    watch.start("memory", deadline_seconds=300)
    watch.stop()
    assert watch.timer is not None
    assert watch.timer.cancelled()


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_two_clients_of_one_stream_both_get_it(scene: Scene) -> None:
    other = Client()
    first = scene.watch()
    second = scene.relay.watch("local", "local", "job", other)
    async with scene.relaying():
        first.start("memory")
        second.start("memory")
        await scene.say("a")
        await scene.client.until(1)
        first.stop()
        await scene.end()
        await other.until(2)
    assert (scene.client.seqs, other.seqs) == ([1], [1, 2])


async def test_a_message_that_is_no_event_does_not_stop_the_relay(scene: Scene) -> None:
    broken = Relay(_Broken(scene.broker), "gw", scene.clock, RelayLimits(resubscribe_seconds=0))
    watch = broken.watch("local", "local", "job", scene.client)
    watch.start("memory")
    task = asyncio.create_task(broken.run())
    await scene.say("a")
    await scene.client.until(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert scene.client.seqs == [1]


class _Broken:
    """Whose first subscription breaks on a message."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._first = True
        self.read = broker.read
        self.append = broker.append
        self.attach = broker.attach
        self.cancellations = broker.cancellations
        self.restored = broker.restored
        self.give_up = broker.give_up

    async def subscribe(self, gateway_id: str) -> AsyncIterator[Sequence[StreamEvent]]:
        if self._first:
            self._first = False
            raise KeyError("kind")
        async for batch in self._broker.subscribe(gateway_id):
            yield batch


async def test_a_stored_event_that_cannot_be_read_ends_the_stream_with_an_error(scene: Scene) -> None:
    async def read(*_: object) -> StreamPage:
        raise KeyError("kind")

    scene.broker.read = read  # type: ignore[method-assign,assignment]
    scene.watch().start("memory", look_now=True)
    assert (await scene.client.until_failed()).code == -32603
