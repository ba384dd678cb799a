"""Streams whose end does not come: ended at their deadline, in the broker or for their client alone."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from pmcp_common.contracts.jobs import End
from pmcp_gateway.relay import Relay

from .relay_scene import Scene, begun, settled


@pytest.fixture
async def scene() -> Scene:
    return await begun()


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
    await settled()
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
        await settled()
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
    await settled()
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
        await settled()
    assert scene.client.failure is None
    scene.broker.away = True
    for seconds in (292.0, 330.0):  # no longer than that, though it says that the reply has ended
        scene.clock.seconds = 1000 + seconds
        relay.sweep()
        await settled()
    assert scene.client.failure is not None


async def test_a_stream_that_ended_in_time_has_no_timer_left(scene: Scene) -> None:
    relay = Relay(scene.broker, "gw", scene.clock, expire=scene.broker.expire)
    watch = relay.watch("local", "local", "job", scene.client)
    watch.start("memory", deadline_seconds=300)
    watch.stop()
    assert watch.timer is not None
    assert watch.timer.cancelled()
