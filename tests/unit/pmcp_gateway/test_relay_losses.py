"""Streams that went with the data of Redis: begun anew, waited for, given up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pmcp_common.contracts.errors import StreamNotFound
from pmcp_common.contracts.jobs import Claim, Delta

from .relay_scene import SUBMISSION, Scene, begun, settled


@pytest.fixture
async def scene() -> Scene:
    return await begun()


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
        await settled()
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
    await settled()
    scene.broker.is_restored = True
    scene.clock.seconds += 0.5
    scene.relay.sweep()
    assert (await scene.client.until_failed()).code == -32006


async def test_a_lost_stream_is_not_waited_for_without_end(scene: Scene) -> None:
    scene.broker.is_restored = False
    scene.relay.watch("local", "local", "lost", scene.client).start("an older life", look_now=True)
    await settled()
    scene.clock.seconds += scene.relay.limits.lost_seconds
    scene.relay.sweep()
    assert (await scene.client.until_failed()).code == -32006
    with pytest.raises(StreamNotFound):  # a worker that comes now may not answer it
        await scene.broker.submit(replace(SUBMISSION, job_id="lost", requeued=True))
