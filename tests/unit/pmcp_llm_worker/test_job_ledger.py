"""The keeper of the record of accepted jobs: what it does with a loss, and with rows that nobody settles."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from pmcp_common.contracts.accepted_jobs import AcceptedJob, JobName
from pmcp_common.testing.broker_memory import MemoryBroker
from pmcp_gateway.relay import RelayLimits
from pmcp_llm_worker.job_ledger import (
    FORGET_SECONDS,
    PARTING_SECONDS,
    PAST_DEADLINE_SECONDS,
    PURGE_SECONDS,
    Backlog,
    JobLedger,
)

from .doubles import NOW, TENANT, SteppingClock, submission


def accepted(job_id: str, epoch: str) -> AcceptedJob:
    at = int(NOW.timestamp() * 1000)
    stored = orjson.dumps(submission(job_id, persona_id="p-aria")).decode()
    return AcceptedJob(tenant=TENANT, job_id=job_id, epoch=epoch, accepted_at_ms=at, submission=stored)


class Redis:
    """As the keeper sees it."""

    def __init__(self) -> None:
        self.epoch = "first"
        self.restored_epoch = ""
        self.accepted: list[AcceptedJob] = []
        self.said: list[str] = []
        self.noted: list[str] = []

    async def look(self, limit: int) -> Backlog | None:
        return Backlog(self.epoch, self.accepted[:limit], [], self.restored_epoch == self.epoch)

    async def recorded(self, epoch: str, jobs: Sequence[JobName]) -> None:
        if epoch != self.epoch:
            self.restored_epoch = ""
            return
        self.noted += [job.job_id for job in jobs]
        self.accepted = [job for job in self.accepted if job not in jobs]

    async def forgotten(self, jobs: Sequence[JobName]) -> None:
        raise AssertionError(jobs)

    async def announce_loss(self) -> None:
        self.said.append("loss")

    async def restoring(self, epoch: str) -> None:
        self.restored_epoch = f"?{epoch}"

    async def restored(self, epoch: str) -> bool:
        if self.restored_epoch != f"?{epoch}":
            return False
        self.restored_epoch = epoch
        self.said.append(f"restored {epoch}")
        return True


class Record:
    def __init__(self) -> None:
        self.rows: dict[str, AcceptedJob] = {}
        self.purged: list[int] = []

    async def record(self, jobs: Sequence[AcceptedJob]) -> None:
        self.rows.update({job.job_id: job for job in jobs})

    async def settle(self, jobs: Sequence[JobName]) -> None:
        for job in jobs:
            del self.rows[job.job_id]

    async def lost(self, epoch: str, limit: int) -> Sequence[AcceptedJob]:
        return [job for job in self.rows.values() if job.epoch != epoch][:limit]

    async def purge(self, accepted_before_ms: int) -> int:
        self.purged.append(accepted_before_ms)
        return 0


class Stage:
    def __init__(self) -> None:
        self.clock, self.redis, self.record = SteppingClock(), Redis(), Record()
        self.broker = MemoryBroker(self.clock)
        self.ledger = JobLedger(self.broker, self.redis, self.record, self.clock)

    @property
    def queued(self) -> int:
        return self.broker._waiting.qsize()


async def test_a_lost_job_begins_anew_only_after_its_worker_had_time_to_let_go_of_it() -> None:
    stage = Stage()
    stage.record.rows["lost"] = accepted("lost", "an older life")
    await stage.ledger.step()
    stage.clock.seconds += PARTING_SECONDS / 2
    await stage.ledger.step()
    assert (stage.redis.said, stage.queued) == (["loss"], 0)
    stage.clock.seconds += PARTING_SECONDS / 2
    await stage.ledger.step()
    assert (stage.redis.said, stage.queued) == (["loss", "restored first"], 1)
    assert stage.record.rows["lost"].epoch == "first"
    assert stage.redis.noted == ["lost"]  # so that its end takes it out of the record, however soon it comes


async def test_without_a_loss_nothing_is_waited_for() -> None:
    stage = Stage()
    await stage.ledger.step()
    assert stage.redis.said == ["restored first"]
    await stage.ledger.step()
    assert stage.redis.said == ["restored first"]


async def test_that_all_is_restored_is_said_again_when_the_broker_lost_its_last_second() -> None:
    stage = Stage()
    await stage.ledger.step()
    stage.redis.restored_epoch = ""
    await stage.ledger.step()
    assert stage.redis.said == ["restored first", "restored first"]


async def test_a_recorded_job_that_cannot_be_read_is_dropped_and_holds_up_nobody() -> None:
    stage = Stage()
    damaged = accepted("damaged", "an older life").model_copy(update={"submission": '{"tenant": "local"}'})
    stage.record.rows |= {"damaged": damaged, "lost": accepted("lost", "an older life")}
    await stage.ledger.step()
    stage.clock.seconds += PARTING_SECONDS
    await stage.ledger.step()
    assert (stage.redis.said, stage.queued) == (["loss", "restored first"], 1)
    assert set(stage.record.rows) == {"lost"}


async def test_a_lost_job_whose_client_was_told_that_it_is_gone_is_dropped() -> None:
    stage = Stage()
    stage.record.rows |= {name: accepted(name, "an older life") for name in ("told", "lost")}
    assert await stage.broker.give_up(TENANT, "told")
    await stage.ledger.step()
    stage.clock.seconds += PARTING_SECONDS
    await stage.ledger.step()
    assert (stage.redis.said, stage.queued, set(stage.record.rows)) == (["loss", "restored first"], 1, {"lost"})


async def test_a_lost_job_is_dropped_before_its_client_is_told_that_its_deadline_has_passed() -> None:
    stage = Stage()
    hasty = accepted("hasty", "an older life")
    hasty = hasty.model_copy(update={"submission": orjson.dumps(submission("hasty", deadline_ms=5_000)).decode()})
    stage.record.rows |= {"hasty": hasty, "lost": accepted("lost", "an older life")}
    await stage.ledger.step()
    stage.clock.seconds += 5 + PAST_DEADLINE_SECONDS + 1
    await stage.ledger.step()
    assert (stage.queued, set(stage.record.rows)) == (1, {"lost"})
    assert RelayLimits().give_up_seconds > PAST_DEADLINE_SECONDS


async def test_new_jobs_are_recorded_while_lost_ones_wait() -> None:
    stage = Stage()
    stage.record.rows["lost"] = accepted("lost", "an older life")
    stage.redis.accepted = [accepted("new", "first")]
    await stage.ledger.step()
    assert set(stage.record.rows) == {"lost", "new"}


async def test_a_second_loss_is_announced_again() -> None:
    stage = Stage()
    await stage.ledger.step()
    stage.record.rows["lost"] = accepted("lost", "first")
    stage.redis.epoch = "second"
    await stage.ledger.step()
    stage.clock.seconds += PARTING_SECONDS
    await stage.ledger.step()
    assert stage.redis.said == ["restored first", "loss", "restored second"]


async def test_rows_whose_end_was_missed_are_dropped_now_and_then() -> None:
    stage = Stage()
    for _ in range(3):
        await stage.ledger.step()
    now_ms = int(stage.clock.now().timestamp() * 1000)
    assert stage.record.purged == [now_ms - int(FORGET_SECONDS * 1000)]
    stage.clock.seconds += PURGE_SECONDS
    await stage.ledger.step()
    assert len(stage.record.purged) == 2


async def test_a_job_recorded_while_lost_ones_are_looked_for_is_looked_for_before_all_is_said_to_be_restored() -> None:
    stage = Stage()
    look_for = stage.record.lost

    async def lost(epoch: str, limit: int) -> Sequence[AcceptedJob]:
        found = await look_for(epoch, limit)
        if not stage.record.rows:  # a gateway's row comes right behind the look, and its mark
            stage.record.rows["late"] = accepted("late", "an older life")
            await stage.redis.recorded("an older life", [JobName(tenant=TENANT, job_id="late")])
        return found

    stage.record.lost = lost  # type: ignore[method-assign]
    await stage.ledger.step()
    stage.clock.seconds += PARTING_SECONDS
    await stage.ledger.step()
    await stage.ledger.step()
    stage.clock.seconds += PARTING_SECONDS
    await stage.ledger.step()
    assert stage.queued == 1
    assert stage.redis.said[-1] == "restored first"
    assert stage.record.rows["late"].epoch == "first"
