"""arq's Worker, waking at once: jobs are announced on a list, so that an idle worker needs no poll to see them.

What differs from arq 0.28 (pinned; the subclasses have tests): BLMPOP instead of a 0.5 s poll, one round trip to mark
several jobs as started instead of four for each, JSON instead of pickle, no results kept, and a lost Redis is waited
for instead of ending the process. A slow poll remains, because an announcement can be lost with its reader.
Replies do without arq's marks: their claim is one, with a lease.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, cast

import orjson
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.typing import WorkerCoroutine
from arq.utils import timestamp_ms
from arq.worker import Function, Worker, func
from redis.exceptions import RedisError

from pmcp_common.background import end_tasks
from pmcp_common.contracts import keys
from pmcp_common.redis_link import BytesRedis, connect_blocking

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
RECONNECT_SECONDS = 0.2
RECONNECT_MAX_SECONDS = 3.0
LISTEN_SECONDS = 5
"""Redis says at least this often that nothing came: a connection that is silent for longer is dead."""
SILENT_SECONDS = 3
READ_LIMIT = 1000
"""Jobs looked at in one poll. Claimed jobs have left the queue, so they never hide waiting ones."""


class WakingWorker(Worker):
    """Runs the jobs of one queue, at most `max_jobs` at a time, until `drain` is called."""

    def __init__(
        self,
        functions: Sequence[Function | WorkerCoroutine],
        *,
        redis: BytesRedis,
        redis_url: str,
        queue_name: str,
        max_jobs: int,
        job_timeout_seconds: float,
        max_tries: int = 1,
        ctx: dict[Any, Any] | None = None,
    ) -> None:
        pool = ArqRedis(
            connection_pool=redis.connection_pool,
            job_serializer=orjson.dumps,
            job_deserializer=orjson.loads,
            default_queue_name=queue_name,
        )
        super().__init__(
            functions,
            queue_name=queue_name,
            redis_pool=pool,
            handle_signals=False,
            max_jobs=max_jobs,
            job_timeout=job_timeout_seconds,
            max_tries=max_tries,
            keep_result=0,
            log_results=False,
            queue_read_limit=READ_LIMIT,
            job_serializer=orjson.dumps,
            job_deserializer=orjson.loads,
            ctx=ctx,
        )
        self._url = redis_url
        self._slot_freed = asyncio.Event()

    @property
    def free_slots(self) -> int:
        return int(self.max_jobs - self.job_counter)

    @property
    def running(self) -> int:
        return int(self.job_counter)

    async def main(self) -> None:
        loops = [asyncio.create_task(self._forever(step)) for step in (self._listen_once, self._poll_once)]
        try:
            await asyncio.gather(*loops)
        finally:  # `gather` is over with the first of them; the other may be closing its connection
            for loop in loops:
                if not loop.cancelling():
                    loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    async def drain(self, timeout_seconds: float) -> None:
        """Start no more jobs and wait for the running ones; those left are cancelled."""
        self.allow_pick_jobs = False
        if self.main_task is not None:
            self.main_task.cancel()
        tasks = list(self.tasks.values())
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=timeout_seconds)
            await end_tasks(pending)

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start those that nobody has started, up to the free slots; the rest stay in the queue for a later poll."""
        wanted = [job_id for raw in job_ids if (job_id := raw.decode()) not in self.tasks][: self.free_slots]
        if not wanted or not self.allow_pick_jobs:
            return
        # Reserve before the first await: the listener and the poll may both be here.
        self.job_counter += len(wanted)
        started = 0
        try:
            async with self.pool.pipeline(transaction=False) as pipe:
                for job_id in wanted:
                    pipe.set(in_progress_key_prefix + job_id, b"1", nx=True, px=int(self.in_progress_timeout_s * 1000))
                    pipe.zscore(self.queue_name, job_id)
                answers = await pipe.execute()
            for job_id, ours, score in zip(wanted, answers[::2], answers[1::2], strict=True):
                if ours and score is not None:
                    task = asyncio.create_task(self.run_job(job_id, int(score)))
                    self.tasks[job_id] = task
                    task.add_done_callback(partial(self._ended, job_id))
                    started += 1
                elif ours:  # an old announcement of a job that has ended: take the mark back
                    await self.pool.delete(in_progress_key_prefix + job_id)
        finally:
            self._release(len(wanted) - started)

    def _ended(self, job_id: str, task: asyncio.Task[None]) -> None:
        self.tasks.pop(job_id, None)
        self._release(1)
        if not task.cancelled() and task.exception() is not None:
            log.error("job bookkeeping failed", extra={"job": job_id}, exc_info=task.exception())

    def _release(self, count: int) -> None:
        self.job_counter -= count
        self._slot_freed.set()

    async def _forever(self, step: Any) -> None:
        delay = RECONNECT_SECONDS
        while True:
            try:
                await step()
                delay = RECONNECT_SECONDS
            except (RedisError, OSError) as error:
                log.warning("queue unreachable", extra={"queue": self.queue_name, "error": type(error).__name__})
                await asyncio.sleep(delay)
                delay = min(delay * 2, RECONNECT_MAX_SECONDS)

    async def _listen_once(self) -> None:
        """Serve announcements over one connection until it breaks."""
        wake = keys.wake(str(self.queue_name))
        redis = connect_blocking(self._url)
        try:
            while True:
                await self._slot()
                count = max(1, self.free_slots)
                async with asyncio.timeout(LISTEN_SECONDS + SILENT_SECONDS):
                    found = await _pop(redis, wake, count)
                if found is not None:
                    await self.start_jobs(found[1])
        finally:
            await redis.aclose()

    async def _slot(self) -> None:
        while self.free_slots <= 0:
            self._slot_freed.clear()
            await self._slot_freed.wait()
            await self._fill()

    async def _fill(self) -> None:
        """A slot is free again: jobs that were announced while there was none wait in the queue."""
        if self.free_slots > 0:
            ids = await self.pool.zrangebyscore(
                self.queue_name, "-inf", timestamp_ms(), start=0, num=self.free_slots + len(self.tasks)
            )
            await self.start_jobs(ids)

    async def _poll_once(self) -> None:
        await self._poll_iteration()
        await asyncio.sleep(POLL_SECONDS)


async def _pop(redis: Any, wake: str, count: int) -> Any:
    """The list's name and what it held, as soon as it holds anything; None after LISTEN_SECONDS."""
    return await redis.blmpop(LISTEN_SECONDS, 1, wake, direction="LEFT", count=count)


class ClaimingWorker(WakingWorker):
    """For jobs that claim themselves, under a lease: nothing else is written about them, and an entry is all there is.

    Two workers may start the same entry; the claim decides, and takes it out of the queue.
    """

    def __init__(
        self,
        run: Callable[[str], Awaitable[None]],
        *,
        redis: BytesRedis,
        redis_url: str,
        queue_name: str,
        max_jobs: int,
        job_timeout_seconds: float,
    ) -> None:
        async def unused(_ctx: dict[Any, Any]) -> None:
            """arq wants to know a function by name."""

        super().__init__(
            [func(cast(WorkerCoroutine, unused), name="claiming")],
            redis=redis,
            redis_url=redis_url,
            queue_name=queue_name,
            max_jobs=max_jobs,
            job_timeout_seconds=job_timeout_seconds,
        )
        self._run_entry = run

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        for entry in (raw.decode() for raw in job_ids):
            if self.free_slots <= 0 or not self.allow_pick_jobs:
                return
            if entry not in self.tasks:
                self.job_counter += 1
                task = asyncio.create_task(self.run_job(entry, 0))
                self.tasks[entry] = task
                task.add_done_callback(partial(self._ended, entry))

    async def run_job(self, job_id: str, score: int) -> None:
        try:
            async with asyncio.timeout(self.job_timeout_s):
                await self._run_entry(job_id)
        except Exception:  # boundary: a fault ends its own job, whose lease brings it back
            log.exception("job failed", extra={"job": job_id})
