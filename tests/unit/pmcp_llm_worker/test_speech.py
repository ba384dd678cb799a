"""What is said when time is short, when the model broke off before, and when it is not asked at all."""

from __future__ import annotations

import asyncio

import pytest

from pmcp_common.contracts.ends import TOO_LATE
from pmcp_common.contracts.errors import Unavailable
from pmcp_common.contracts.jobs import Claim, Delta, End
from pmcp_common.contracts.memories import ContextRequest, ContextResponse
from pmcp_llm_worker.breaker import FAILURES
from pmcp_llm_worker.model import ModelAway, ModelBroken, ModelBusy
from tests.unit.pmcp_llm_worker.doubles import TENANT, ScriptedModel, Stage, aria


async def after_a_death(stage: Stage, shown: str, **changes: object) -> End:
    """The first worker showed `shown` and died."""
    await stage.submit(**changes)
    tenant, job_id, ticket = await stage.broker.take_ticket()
    claim = await stage.broker.claim(tenant, job_id, ticket)
    assert isinstance(claim, Claim)
    await stage.broker.append([(claim, Delta(job_id, 1, 1, shown))])
    stage.broker._jobs[tenant, job_id].lease = -1.0
    await stage.broker.reap()
    await stage.work()
    return await stage.end()


async def test_a_broken_stream_is_continued_at_once_and_reads_as_one() -> None:
    stage = Stage(ScriptedModel(["Once upon", ModelBroken("truncated")], [" a time."]))
    end = await stage.answer()
    assert (end.state, end.finish_reason, end.text) == ("done", "stop", "Once upon a time.")
    assert [prompt.said for prompt in stage.model.prompts] == ["", "Once upon"]
    assert stage.memory.rows["reply-job-1"].content == end.text


async def test_a_model_that_begins_anew_is_not_heard_twice() -> None:
    stage = Stage(ScriptedModel(["Once ", "upon", " a time", " there was", " a lute."]))
    end = await after_a_death(stage, "Once upon a time")
    assert end.text == "Once upon a time there was a lute."


async def test_a_reply_that_was_whole_already_needs_no_more_words() -> None:
    stage = Stage(ScriptedModel([]))
    end = await after_a_death(stage, "I am Aria.")
    assert (end.state, end.finish_reason, end.text) == ("done", "stop", "I am Aria.")


async def test_what_was_said_counts_against_the_cap() -> None:
    stage = Stage(ScriptedModel([" more"]))
    said = " ".join(["word"] * 20)
    end = await after_a_death(stage, said)
    assert stage.model.generations[0].max_tokens == 50 - 26
    assert end.tokens_used == 26 + 1


async def test_a_reply_at_its_cap_is_not_continued() -> None:
    stage = Stage(ScriptedModel())
    end = await after_a_death(stage, "one two three four five six seven eight", token_budget=10)
    assert (end.state, end.finish_reason) == ("done", "length")
    assert stage.model.prompts == []


async def test_a_continuation_that_fails_leaves_the_partial() -> None:
    stage = Stage(ScriptedModel(*[[ModelBusy("busy")]] * 6))
    end = await after_a_death(stage, "I am")
    assert (end.state, end.finish_reason, end.text) == ("failed", "interrupted", "I am")


async def test_a_persona_that_rests_now_finishes_what_it_began_to_say() -> None:
    stage = Stage(ScriptedModel([" Aria."]))
    stage.personas.state = stage.personas.state.model_copy(update={"is_available": False})
    end = await after_a_death(stage, "I am")
    assert (end.state, end.text) == ("done", "I am Aria.")


async def test_without_persona_service_a_begun_reply_is_kept_as_it_is() -> None:
    stage = Stage(ScriptedModel([" Aria."]))
    stage.personas.failure = Unavailable("away")
    end = await after_a_death(stage, "I am")
    assert (end.state, end.finish_reason, end.text) == ("failed", "interrupted", "I am")


async def test_after_failures_in_a_row_the_model_is_not_asked() -> None:
    stage = Stage(ScriptedModel(*[[ModelAway("away")]] * 3 * FAILURES))
    for number in range(FAILURES + 1):
        await stage.submit(f"job-{number}", player_id=f"player-{number}")
        await stage.work()
    assert len(stage.model.prompts) == 3 * FAILURES
    end = await stage.end(f"job-{FAILURES}")
    assert (end.response_type, end.rung, end.degraded) == ("fallback", "canned", True)


async def test_a_reply_stops_at_the_deadline_and_says_that_it_is_short() -> None:
    stage = Stage(ScriptedModel(["I am", asyncio.Event()]))
    end = await stage.answer(deadline_ms=250)
    assert (end.state, end.finish_reason, end.rung, end.text) == ("done", "length", "shortened", "I am")
    assert stage.model.cancelled == 1
    assert end.persisted


async def test_a_model_that_says_nothing_until_the_deadline_gives_a_canned_line() -> None:
    stage = Stage(ScriptedModel([asyncio.Event()]))
    end = await stage.answer(deadline_ms=250)
    assert (end.state, end.rung, end.response_type) == ("done", "canned", "fallback")
    assert end.text in aria().fallback_lines
    assert end.reason == TOO_LATE


async def test_a_deadline_that_has_passed_asks_nobody() -> None:
    stage = Stage(ScriptedModel())
    end = await stage.answer(deadline_ms=0)
    assert (end.state, end.rung) == ("done", "canned")
    assert (end.memory, end.routing, end.reason) == ("none", "none", TOO_LATE)
    assert stage.model.prompts == []


async def test_memory_may_not_use_up_the_clients_time() -> None:
    stage = Stage(ScriptedModel(["I am Aria."]))

    async def hang(tenant: str, request: ContextRequest) -> ContextResponse:
        await asyncio.Event().wait()
        raise AssertionError

    stage.memory.context = hang  # type: ignore[method-assign]
    end = await stage.answer(deadline_ms=600)
    assert (end.state, end.memory, end.text) == ("done", "unavailable", "I am Aria.")


async def test_rows_may_not_use_up_the_clients_time_and_are_spooled() -> None:
    stage = Stage(ScriptedModel(["I am Aria."]))

    async def hang(tenant: str, turns: object) -> int:
        await asyncio.Event().wait()
        raise AssertionError

    stage.memory.commit = hang  # type: ignore[method-assign]
    end = await stage.answer(deadline_ms=400)
    assert (end.state, end.persisted) == ("done", False)
    assert len(stage.spool.entries) == 1


@pytest.mark.parametrize(("heard_chars", "stored"), [(4, "I am"), (0, None), (1000, "I am Aria"), (None, "I am Aria")])
async def test_of_a_cancelled_reply_only_what_was_heard_is_stored(heard_chars: int | None, stored: str | None) -> None:
    stage = Stage(ScriptedModel(["I am Aria", asyncio.Event()]))
    await stage.submit()
    working = asyncio.create_task(stage.work())
    async with asyncio.timeout(5):
        await stage.model.waiting.wait()
    await stage.broker.cancel(TENANT, "local", "job-1", heard_chars=heard_chars)
    await stage.leases.renew_all()
    await working
    end = await stage.end()
    assert (end.state, end.text) == ("cancelled", "I am Aria")
    row = stage.memory.rows.get("reply-job-1")
    assert (row.content if row else None) == stored
    assert stage.broker.remembered == []


async def test_a_worker_that_leaves_hands_its_reply_back() -> None:
    stage = Stage(ScriptedModel(["I am", asyncio.Event()], [" Aria."]))
    await stage.submit()
    working = asyncio.create_task(stage.work())
    async with asyncio.timeout(5):
        await stage.model.waiting.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    await stage.work()
    end = await stage.end()
    assert (end.state, end.text, end.attempt) == ("done", "I am Aria.", 2)
    assert stage.leases.running == 0
