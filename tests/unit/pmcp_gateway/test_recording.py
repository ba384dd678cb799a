"""Batches of accepted jobs on their way into the record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
import pytest

from pmcp_common.contracts.accepted_jobs import MAX_JOBS, AcceptedJob, JobName
from pmcp_common.contracts.errors import Unavailable
from pmcp_common.contracts.jobs import Accepted, Submission
from pmcp_gateway.recording import Recording


class Record:
    """Takes a batch when it is told to; both ports."""

    def __init__(self) -> None:
        self.batches: list[list[AcceptedJob]] = []
        self.marked: list[tuple[str, list[str]]] = []
        self.away = False
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()

    async def record(self, jobs: Sequence[AcceptedJob]) -> None:
        self.batches.append(list(jobs))
        self.asked.set()
        await self.open.wait()
        if self.away:
            raise Unavailable("The memory service is away")

    async def recorded(self, epoch: str, jobs: Sequence[JobName]) -> None:
        self.marked.append((epoch, [job.job_id for job in jobs]))

    async def settle(self, jobs: Sequence[JobName]) -> None:
        raise AssertionError(jobs)

    async def lost(self, epoch: str, limit: int) -> Sequence[AcceptedJob]:
        raise AssertionError(epoch)

    async def purge(self, accepted_before_ms: int) -> int:
        raise AssertionError(accepted_before_ms)


async def no_pause(_seconds: float) -> None:
    await asyncio.sleep(0)


@asynccontextmanager
async def recording_to(record: Record) -> AsyncIterator[Recording]:
    recording = Recording(record, record, sleep=no_pause)
    task = asyncio.create_task(recording.run())
    try:
        yield recording
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def message(number: int) -> Submission:
    return Submission(
        tenant="local",
        principal="local",
        job_id=f"job{number}",
        message_id=f"reply{number}",
        user_message_id=f"asked{number}",
        session_id="s",
        player_id="ann",
        message="Hello",
        token_budget=500,
        streaming=True,
        gateway_id="gw",
        request_id="r",
        accepted_at_ms=1000 + number,
    )


def accepted(number: int, epoch: str = "e1", *, duplicate: bool = False, recorded: bool = False) -> Accepted:
    return Accepted(f"job{number}", f"reply{number}", epoch, "id-aria", "Aria", duplicate, recorded=recorded)


async def known(*recorded: asyncio.Future[bool]) -> list[bool]:
    async with asyncio.timeout(5):
        return list(await asyncio.gather(*recorded))


async def test_a_job_is_recorded_with_the_persona_it_was_accepted_for() -> None:
    record = Record()
    async with recording_to(record) as recording:
        assert await known(recording.add(message(1), accepted(1))) == [True]
    ((job,),) = record.batches
    stored = orjson.loads(job.submission)
    assert (job.job_id, job.epoch, job.accepted_at_ms) == ("job1", "e1", 1001)
    assert (stored["persona_id"], stored["persona_name"], stored["message"]) == ("id-aria", "Aria", "Hello")
    assert record.marked == [("e1", ["job1"])]


async def test_what_comes_while_a_batch_is_under_way_goes_with_the_next() -> None:
    record = Record()
    record.open.clear()
    async with recording_to(record) as recording:
        first = recording.add(message(0), accepted(0))
        async with asyncio.timeout(5):
            await record.asked.wait()
        rest = [recording.add(message(number), accepted(number)) for number in range(1, MAX_JOBS + 2)]
        record.open.set()
        assert all(await known(first, *rest))
    assert [len(batch) for batch in record.batches] == [1, MAX_JOBS, 1]


async def test_a_failed_batch_is_told_and_the_next_one_is_tried() -> None:
    record = Record()
    record.away = True
    async with recording_to(record) as recording:
        assert await known(recording.add(message(1), accepted(1))) == [False]
        record.away = False
        assert await known(recording.add(message(2), accepted(2))) == [True]
    assert record.marked == [("e1", ["job2"])]


async def test_whoever_waits_behind_a_failed_batch_does_not_wait_for_another() -> None:
    record = Record()
    record.away = True
    record.open.clear()
    async with recording_to(record) as recording:
        first = recording.add(message(0), accepted(0))
        async with asyncio.timeout(5):
            await record.asked.wait()
        behind = [recording.add(message(number), accepted(number)) for number in range(1, 3 * MAX_JOBS)]
        record.open.set()
        assert not any(await known(first, *behind))
    assert len(record.batches) == 1


async def test_jobs_of_two_lives_of_the_data_are_marked_each_in_its_own() -> None:
    record = Record()
    async with recording_to(record) as recording:
        both = [recording.add(message(1), accepted(1)), recording.add(message(2), accepted(2, "e2"))]
        assert await known(*both) == [True, True]
    assert record.marked == [("e1", ["job1"]), ("e2", ["job2"])]


@pytest.mark.parametrize("recorded", [True, False])
async def test_a_repeated_message_is_not_recorded_again(recorded: bool) -> None:
    record = Record()
    async with recording_to(record) as recording:
        assert await known(recording.add(message(1), accepted(1, duplicate=True, recorded=recorded))) == [recorded]
    assert record.batches == []


async def test_nobody_waits_for_a_process_that_ends() -> None:
    record = Record()
    record.open.clear()
    async with recording_to(record) as recording:
        first = recording.add(message(1), accepted(1))
        async with asyncio.timeout(5):
            await record.asked.wait()
        second = recording.add(message(2), accepted(2))
    assert await known(first, second) == [False, False]
