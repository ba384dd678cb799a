"""A reply that is cancelled, or whose worker lost its claim: what is stopped, kept and written."""

from __future__ import annotations

import asyncio

from pmcp_common.contracts.jobs import AppendResult, Claim, Declared, Delta, Verdict
from tests.unit.pmcp_llm_worker.doubles import (
    TENANT,
    ScriptedModel,
    Stage,
    words,
)


async def test_a_cancel_stops_the_model_and_keeps_what_was_said() -> None:
    stage = Stage(ScriptedModel(["I am", asyncio.Event(), "never"]))
    await stage.submit()
    following = asyncio.create_task(stage.leases.follow_cancellations(stage.broker))
    working = asyncio.create_task(stage.work())
    async with asyncio.timeout(5):
        await stage.model.waiting.wait()
    await stage.broker.cancel(TENANT, "local", "job-1")
    await working
    following.cancel()
    end = await stage.end()
    assert (end.state, end.finish_reason, end.text) == ("cancelled", "cancelled", "I am")
    assert stage.model.cancelled == 1
    assert stage.memory.rows["reply-job-1"].content == "I am"
    assert stage.broker.remembered == []
    assert stage.leases.running == 0


async def test_a_cancel_without_a_hint_is_seen_when_the_lease_is_renewed() -> None:
    stage = Stage(ScriptedModel(["I am", asyncio.Event()]))
    await stage.submit()
    working = asyncio.create_task(stage.work())
    async with asyncio.timeout(5):
        await stage.model.waiting.wait()
    await stage.broker.cancel(TENANT, "local", "job-1")
    await stage.leases.renew_all()
    await working
    assert (await stage.end()).state == "cancelled"


async def test_a_reply_cancelled_before_it_began_asks_no_model() -> None:
    stage = words("never said")
    await stage.submit()
    tenant, job_id, ticket = await stage.broker.take_ticket()
    stage.broker._jobs[tenant, job_id].cancel = True
    await stage.job(tenant, job_id, ticket)
    end = await stage.end()
    assert (end.state, end.text) == ("cancelled", "")
    assert stage.model.prompts == []
    assert stage.memory.rows == {}


async def test_a_worker_that_lost_its_claim_writes_nothing_more() -> None:
    stage = Stage(ScriptedModel(["I am", asyncio.Event()]))
    await stage.submit()
    working = asyncio.create_task(stage.work())
    async with asyncio.timeout(5):
        await stage.model.waiting.wait()
    stage.broker._jobs[TENANT, "job-1"].fence += 1
    await stage.leases.renew_all()
    await working
    assert [type(event) for event in await stage.events()] == [Delta]
    assert stage.model.cancelled == 1
    assert stage.memory.rows == {}


async def test_a_claim_lost_before_the_commit_stores_nothing() -> None:
    stage = Stage(ScriptedModel())
    stage.model.calls = [["Hi."]]
    await stage.submit()

    async def lose(claim: Claim, verdict: Verdict) -> Declared:
        return Declared(AppendResult.FENCED)

    stage.broker.declare = lose  # type: ignore[method-assign]
    await stage.work()
    assert stage.memory.rows == {}
