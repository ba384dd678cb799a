from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from pmcp_common.contracts.errors import Unavailable
from pmcp_common.contracts.jobs import Delta, StreamEvent, StreamPage
from pmcp_gateway.relay import Relay, RelayLimits

from .relay_scene import Broker, Client, Scene, begun


@pytest.fixture
async def scene() -> Scene:
    return await begun()


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


async def test_a_stream_that_is_gone_is_said_to_be(scene: Scene) -> None:
    scene.relay.watch("local", "local", "gone", scene.client).start("memory", look_now=True)
    assert (await scene.client.until_failed()).code == -32006


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
