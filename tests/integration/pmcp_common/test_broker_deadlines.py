"""Late, declared and lost replies: the promises of `JobQueue` about time, for both brokers."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import Any

import pytest

from pmcp_common.contracts.ends import LAST_FALLBACK_LINE
from pmcp_common.contracts.errors import (
    StreamNotFound,
)
from pmcp_common.contracts.jobs import (
    MAX_ATTEMPTS,
    AppendResult,
    Claim,
    ClaimRefusal,
    Declared,
    Submission,
    Verdict,
)
from tests.integration.pmcp_common.brokers import Broker, begin, claimed, delta, end, end_of_turn, read, submission


async def test_a_late_reply_is_ended_by_whoever_asks_and_not_before(broker: Broker) -> None:
    waiting = submission(deadline_ms=60_000)
    await broker.queue.submit(waiting)
    left = await broker.queue.expire("local", "local", waiting.job_id)
    assert 0 < left <= 60
    with pytest.raises(StreamNotFound):
        await broker.queue.expire("local", "somebody", waiting.job_id)
    await broker.pass_deadline(waiting.job_id)
    assert await broker.queue.expire("local", "local", waiting.job_id) == 0
    page = await broker.bus.read("local", "local", waiting.job_id, 0)
    line, end = page.events
    assert (line.seq, line.text) == (1, LAST_FALLBACK_LINE)
    assert (end.seq, end.state, end.finish_reason, end.rung) == (2, "done", "fallback", "canned")
    assert end.sha256 == hashlib.sha256(line.text.encode()).hexdigest()
    assert await broker.queue.expire("local", "local", waiting.job_id) == 0


async def test_a_reply_without_a_deadline_of_its_clients_fails_at_the_hard_limit(broker: Broker) -> None:
    await broker.queue.submit(job := submission())
    await broker.pass_deadline(job.job_id)
    assert await broker.queue.expire("local", "local", job.job_id) == 0
    (end,) = (await read(broker, job)).events
    assert (end.seq, end.state, end.finish_reason, end.error_code) == (1, "failed", "deadline", -32010)


@pytest.mark.parametrize("noticed_by", ["the gateway", "a reaper"])
async def test_a_deadline_that_ends_behind_a_slow_turn_is_kept_with_a_line_of_the_persona(
    broker: Broker, noticed_by: str
) -> None:
    await broker.set_lines("aria", ("My lute string broke.",))
    slow = await begin(broker)
    hasty, patient = submission(deadline_ms=60_000), submission()
    for job in (hasty, patient):
        await broker.queue.submit(job)
    await broker.pass_deadline(hasty.job_id)
    await give_notice(broker, hasty, noticed_by)
    line, end = (await read(broker, hasty)).events
    assert (line.text, end.text) == ("My lute string broke.", "My lute string broke.")
    assert (end.state, end.rung, end.response_type, end.degraded) == ("done", "canned", "fallback", True)
    await broker.next_ticket()
    with pytest.raises(TimeoutError):  # the slow turn still runs
        await broker.next_ticket()
    assert await broker.queue.finish(slow, end_of_turn(slow, 1, ""), remember=False)
    assert (await broker.next_ticket())[0] == patient.job_id


async def give_notice(broker: Broker, job: Submission, noticed_by: str) -> None:
    if noticed_by == "the gateway":
        assert await broker.queue.expire("local", "local", job.job_id) == 0
    else:
        await broker.expire_lease(job.job_id)
        assert (await broker.queue.reap()).ended == 1


@pytest.mark.parametrize("noticed_by", ["the gateway", "a reaper"])
async def test_of_a_late_worker_that_died_what_was_shown_is_the_reply(broker: Broker, noticed_by: str) -> None:
    claim = await claimed(broker, job := submission(deadline_ms=60_000))
    await broker.bus.append([(claim, delta(claim, 1, "Once upon"))])
    await broker.pass_deadline(job.job_id)
    await broker.expire_lease(job.job_id)
    await give_notice(broker, job, noticed_by)
    last = (await read(broker, job)).events[-1]
    assert (last.seq, last.state, last.finish_reason, last.rung) == (2, "done", "length", "shortened")
    assert (last.text, last.persisted) == ("Once upon", False)


async def test_a_canned_line_that_was_put_in_by_one_who_died_is_not_said_twice(broker: Broker) -> None:
    await broker.set_lines("aria", ("My lute string broke.",))
    claim = await claimed(broker, job := submission(deadline_ms=60_000))
    await broker.bus.append([(claim, delta(claim, 1, "My lute string broke."))])
    await broker.pass_deadline(job.job_id)
    await broker.expire_lease(job.job_id)
    await broker.queue.reap()
    events = (await read(broker, job)).events
    assert [event.seq for event in events] == [1, 2]
    assert (events[-1].rung, events[-1].text) == ("canned", "My lute string broke.")


async def test_a_worker_past_its_clients_deadline_is_left_a_moment_and_no_more(broker: Broker) -> None:
    before = time.monotonic()
    claim = await begin(broker, deadline_ms=60_000)
    assert await broker.queue.renew(claim) == AppendResult.OK
    left = await broker.queue.expire("local", "local", claim.submission.job_id)
    took = time.monotonic() - before
    assert 60.149 - took < left <= 60.151  # the deadline and the moment, less what this machine needed
    await broker.pass_deadline(claim.submission.job_id, 1.0)
    assert await broker.queue.renew(claim) == AppendResult.OK
    assert await broker.queue.expire("local", "local", claim.submission.job_id) == 0


async def test_a_claim_whose_answer_was_lost_is_given_again_under_its_name(broker: Broker) -> None:
    await broker.queue.submit(job := submission())
    first = await broker.queue.claim("local", job.job_id, "", "worker-1")
    again = await broker.queue.claim("local", job.job_id, "", "worker-1")
    assert isinstance(again, Claim)
    assert (again.fence, again.attempt) == (first.fence, 1)
    assert await broker.queue.claim("local", job.job_id, "", "worker-2") == ClaimRefusal.HELD
    await broker.expire_lease(job.job_id)
    await broker.queue.reap()
    assert isinstance(await broker.queue.claim("local", job.job_id, "", "worker-2"), Claim)
    assert await broker.queue.claim("local", job.job_id, "", "worker-1") == ClaimRefusal.HELD
    assert await broker.queue.renew(first) == AppendResult.FENCED


async def declared(broker: Broker, *, heard_chars: int | None = None, **fields: Any) -> Claim:
    """A job whose text is whole, and whose worker is about to store the rows."""
    claim = await begin(broker, **fields)
    await broker.bus.append([(claim, delta(claim, 1, "Well met."))])
    verdict = Verdict(replace(end(claim, 2, ""), sha256=hashlib.sha256(b"Well met.").hexdigest()), heard_chars)
    assert await broker.queue.declare(claim, verdict) == Declared(AppendResult.OK)
    return claim


async def test_what_was_declared_of_a_reply_is_told_to_the_next_worker_which_can_add_no_word(broker: Broker) -> None:
    first = await declared(broker, heard_chars=4)
    job = first.submission
    assert await broker.bus.append([(first, delta(first, 2, "And"))]) == [AppendResult.ILLEGAL]
    await broker.expire_lease(job.job_id)
    await broker.queue.reap()
    second = await broker.queue.claim("local", job.job_id)
    assert isinstance(second, Claim)
    assert second.verdict is not None
    assert (second.verdict.end.finish_reason, second.verdict.heard_chars) == ("stop", 4)
    assert await broker.bus.append([(second, delta(second, 2, "And"))]) == [AppendResult.ILLEGAL]
    other = replace(second.verdict, heard_chars=1)
    assert await broker.queue.declare(first, other) == Declared(AppendResult.FENCED)
    assert await broker.queue.declare(second, other) == Declared(AppendResult.OK)
    await broker.expire_lease(job.job_id)
    await broker.queue.reap()
    third = await broker.queue.claim("local", job.job_id)
    assert third.verdict == second.verdict


async def test_a_declared_reply_ends_as_declared_whoever_ends_it(broker: Broker) -> None:
    claim = await declared(broker)
    job = claim.submission
    for _ in range(MAX_ATTEMPTS - 1):
        await broker.expire_lease(job.job_id)
        await broker.queue.reap()
        assert await broker.queue.cancel("local", "local", job.job_id) == "cancelling"
        assert isinstance(await broker.queue.claim("local", job.job_id), Claim)
    await broker.expire_lease(job.job_id)
    assert (await broker.queue.reap()).ended == 1
    last = (await read(broker, job)).events[-1]
    assert (last.seq, last.state, last.finish_reason, last.text) == (2, "done", "stop", "Well met.")
    assert last.sha256 == hashlib.sha256(b"Well met.").hexdigest()


async def test_a_declared_reply_that_is_late_goes_to_a_worker_that_stores_its_rows(broker: Broker) -> None:
    claim = await declared(broker, deadline_ms=60_000)
    job = claim.submission
    await broker.pass_deadline(job.job_id)
    assert 0 < await broker.queue.expire("local", "local", job.job_id) <= 15
    await broker.expire_lease(job.job_id)
    assert (await broker.queue.reap()).requeued == 1
    assert isinstance(await broker.queue.claim("local", job.job_id), Claim)


async def test_a_late_worker_that_lives_is_left_a_moment(broker: Broker) -> None:
    claim = await begin(broker)
    await broker.pass_deadline(claim.submission.job_id)
    assert await broker.queue.renew(claim) == AppendResult.OK
    assert 0 < await broker.queue.expire("local", "local", claim.submission.job_id) <= 15
