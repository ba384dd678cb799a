"""The waking Worker on real Valkey: jobs start when they are announced, at most `max_jobs` at a time, none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from arq.worker import func
from redis.asyncio import Redis

from pmcp_common.contracts import keys
from pmcp_common.redis_link import Script, connect
from pmcp_common.worker_arq import POLL_SECONDS, WakingWorker

QUEUE = "test:q"
WAIT_SECONDS = 5.0


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    client = connect(valkey_url)
    yield client
    await client.aclose()


async def enqueue(redis: Redis, job_id: str, *, announce: bool = True) -> None:
    """As `arq_enqueue` of lua/prelude.lua does."""
    payload = orjson.dumps({"t": None, "f": "note", "a": [job_id], "k": {}, "et": 1})
    await redis.set(f"arq:job:{job_id}", payload)
    await redis.zadd(QUEUE, {job_id: 1})
    if announce:
        await redis.rpush(keys.wake(QUEUE), job_id)  # type: ignore[misc]


class Recorder:
    """The job function: notes who runs, and holds until released."""

    def __init__(self, *, hold: bool = False) -> None:
        self.started: list[str] = []
        self.running = 0
        self.most = 0
        self.changed = asyncio.Condition()
        self.release = asyncio.Event()
        if not hold:
            self.release.set()

    async def note(self, ctx: dict[str, Any], name: str) -> None:
        self.started.append(name)
        self.running += 1
        self.most = max(self.most, self.running)
        async with self.changed:
            self.changed.notify_all()
        await self.release.wait()
        self.running -= 1

    async def until_started(self, count: int) -> None:
        async with asyncio.timeout(WAIT_SECONDS), self.changed:
            await self.changed.wait_for(lambda: len(self.started) >= count)


@pytest.fixture
async def workers(redis: Redis, valkey_url: str) -> AsyncIterator[Any]:
    made: list[tuple[WakingWorker, asyncio.Task[None]]] = []

    def start(recorder: Recorder, max_jobs: int = 4) -> WakingWorker:
        worker = WakingWorker(
            [_named(recorder)],
            redis=redis,
            redis_url=valkey_url,
            queue_name=QUEUE,
            max_jobs=max_jobs,
            job_timeout_seconds=30,
        )
        made.append((worker, asyncio.create_task(worker.async_run())))
        return worker

    yield start
    for worker, task in made:
        await worker.drain(0.1)
        await asyncio.gather(task, return_exceptions=True)


def _named(recorder: Recorder) -> Any:
    return func(recorder.note, name="note")


async def drained(redis: Redis) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while await redis.keys("arq:*"):  # noqa: ASYNC110 - Redis has no event for the end of arq's bookkeeping
            await asyncio.sleep(0.005)


async def test_an_announced_job_starts_before_the_next_poll(redis: Redis, workers: Any) -> None:
    recorder = Recorder()
    workers(recorder)
    await enqueue(redis, "first")
    await recorder.until_started(1)
    loop = asyncio.get_running_loop()
    before = loop.time()
    await enqueue(redis, "second")
    await recorder.until_started(2)
    assert loop.time() - before < POLL_SECONDS / 4


async def test_a_job_whose_announcement_was_lost_is_found_by_the_poll(redis: Redis, workers: Any) -> None:
    recorder = Recorder()
    workers(recorder)
    await enqueue(redis, "silent", announce=False)
    await recorder.until_started(1)


async def test_no_more_than_max_jobs_run_and_the_rest_follow_when_slots_are_free(redis: Redis, workers: Any) -> None:
    recorder = Recorder(hold=True)
    worker = workers(recorder, max_jobs=2)
    for number in range(5):
        await enqueue(redis, f"job-{number}")
    await recorder.until_started(2)
    assert worker.free_slots == 0
    recorder.release.set()
    await recorder.until_started(5)
    assert recorder.most == 2
    assert sorted(recorder.started) == [f"job-{number}" for number in range(5)]


async def test_two_workers_never_run_the_same_job(redis: Redis, workers: Any) -> None:
    recorder = Recorder()
    workers(recorder)
    workers(recorder)
    for number in range(40):
        await enqueue(redis, f"job-{number}")
    await recorder.until_started(40)
    await drained(redis)
    assert sorted(recorder.started) == sorted(f"job-{number}" for number in range(40))


async def test_nothing_of_an_ended_job_stays_in_redis(redis: Redis, workers: Any) -> None:
    recorder = Recorder()
    workers(recorder)
    await enqueue(redis, "done")
    await recorder.until_started(1)
    await drained(redis)
    assert await redis.zcard(QUEUE) == 0


async def test_an_old_announcement_starts_nothing_and_leaves_no_mark(redis: Redis, workers: Any) -> None:
    recorder = Recorder()
    workers(recorder)
    await redis.rpush(keys.wake(QUEUE), "long-gone")  # type: ignore[misc]
    await enqueue(redis, "present")
    await recorder.until_started(1)
    await drained(redis)
    assert recorder.started == ["present"]


async def test_drain_starts_nothing_more_and_waits_for_the_running(redis: Redis, workers: Any) -> None:
    recorder = Recorder(hold=True)
    worker = workers(recorder)
    await enqueue(redis, "running")
    await recorder.until_started(1)
    draining = asyncio.create_task(worker.drain(WAIT_SECONDS))
    await enqueue(redis, "later")
    recorder.release.set()
    await draining
    assert recorder.started == ["running"]
    assert recorder.running == 0
    assert await redis.zscore(QUEUE, "later") is not None


async def test_a_worker_has_ended_when_its_listener_has_too(redis: Redis, valkey_url: str) -> None:
    listening, cleaned_up = asyncio.Event(), asyncio.Event()

    class Slow(WakingWorker):
        async def _listen_once(self) -> None:
            listening.set()
            try:
                await asyncio.Event().wait()
            finally:
                await redis.ping()
                cleaned_up.set()

    worker = Slow(
        [_named(Recorder())], redis=redis, redis_url=valkey_url, queue_name=QUEUE, max_jobs=1, job_timeout_seconds=30
    )
    running = asyncio.create_task(worker.async_run())
    await asyncio.wait_for(listening.wait(), WAIT_SECONDS)
    await worker.drain(0.1)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert cleaned_up.is_set()


async def test_the_worker_comes_back_after_its_connections_were_cut(redis: Redis, workers: Any) -> None:
    recorder = Recorder()
    workers(recorder)
    await enqueue(redis, "before")
    await recorder.until_started(1)
    await redis.client_kill_filter(_type="normal", skipme=True)
    await enqueue(redis, "after")
    await recorder.until_started(2)


async def test_scripts_are_loaded_again_when_redis_forgot_them(redis: Redis) -> None:
    renew = Script(redis, "renew")
    await redis.script_flush()
    assert await renew([keys.job("local", "x"), keys.RUNNING], ["local/x", 1, 10]) == b"GONE"
