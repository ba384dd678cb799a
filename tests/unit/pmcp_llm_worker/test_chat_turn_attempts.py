"""A reply whose worker died, was told to leave, or lost its word: what the next attempt makes of it."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from pmcp_common.contracts.errors import Unavailable
from pmcp_common.contracts.jobs import Claim, Declared, Delta, End, Verdict
from pmcp_common.contracts.memories import CommitTurns
from pmcp_llm_worker.model import ModelAway
from pmcp_llm_worker.turn_outcome import fallback_line
from tests.unit.pmcp_llm_worker.doubles import (
    TENANT,
    ScriptedModel,
    Stage,
    aria,
    words,
)


async def second_attempt(stage: Stage, shown: str) -> End:
    """The first worker showed `shown` and died."""
    await stage.submit()
    tenant, job_id, ticket = await stage.broker.take_ticket()
    claim = await stage.broker.claim(tenant, job_id, ticket)
    assert isinstance(claim, Claim)
    if shown:
        await stage.broker.append([(claim, Delta(job_id, 1, 1, shown))])
    stage.broker._jobs[tenant, job_id].lease = -1.0
    await stage.broker.reap()
    await stage.work()
    return await stage.end()


async def test_after_a_death_with_nothing_shown_the_reply_is_made_anew() -> None:
    end = await second_attempt(words("I am Aria."), "")
    assert (end.state, end.text, end.attempt) == ("done", "I am Aria.", 2)


async def test_after_a_death_the_reply_goes_on_behind_what_was_shown() -> None:
    stage = words(" Aria", " of Silverglade.")
    end = await second_attempt(stage, "I am")
    whole = "I am Aria of Silverglade."
    assert (end.state, end.finish_reason, end.text, end.attempt) == ("done", "stop", whole, 2)
    assert end.sha256 == hashlib.sha256(whole.encode()).hexdigest()
    assert stage.model.prompts[0].said == "I am"
    deltas = [event for event in await stage.events() if isinstance(event, Delta)]
    assert [(delta.seq, delta.attempt) for delta in deltas[:2]] == [(1, 1), (2, 2)]
    assert stage.memory.rows["reply-job-1"].content == whole
    assert stage.broker.remembered == [("user-job-1", "reply-job-1")]


async def test_a_reply_is_continued_once_and_then_kept_as_it_is() -> None:
    stage = words("never said")
    end = await third_attempt(stage, handed_back=False)
    assert (end.state, end.finish_reason, end.text, end.seq) == ("failed", "interrupted", "I am Aria", 3)
    assert stage.model.prompts == []
    assert stage.memory.rows["reply-job-1"].content == "I am Aria"


async def test_a_reply_that_a_leaving_worker_handed_back_may_still_be_continued() -> None:
    stage = words(" of Silverglade.")
    end = await third_attempt(stage, handed_back=True)
    assert (end.state, end.text) == ("done", "I am Aria of Silverglade.")


async def third_attempt(stage: Stage, *, handed_back: bool) -> End:
    """Two workers showed a piece each; the first left in order or died, the second died."""
    await stage.submit()
    for number, piece in enumerate(["I am", " Aria"], start=1):
        tenant, job_id, ticket = await stage.broker.take_ticket()
        claim = await stage.broker.claim(tenant, job_id, ticket)
        assert isinstance(claim, Claim)
        await stage.broker.append([(claim, Delta(job_id, number, claim.attempt, piece))])
        if handed_back and number == 1:
            assert await stage.broker.release(claim)
        else:
            stage.broker._jobs[tenant, job_id].lease = -1.0
            await stage.broker.reap()
    await stage.work()
    return await stage.end()


async def test_after_a_death_between_rows_and_end_only_the_end_is_written() -> None:
    first = words("I am Aria.")
    await first.answer()
    stage = words("never said")
    stage.memory.rows = dict(first.memory.rows)
    end = await second_attempt(stage, "I am Aria.")
    assert (end.state, end.finish_reason, end.text, end.model) == ("done", "stop", "I am Aria.", "m1")
    assert stage.memory.rows == first.memory.rows
    assert stage.broker.remembered == [("user-job-1", "reply-job-1")]


async def test_after_a_loss_a_message_that_a_line_of_ours_answered_gets_no_second_answer() -> None:
    """The line has no row of its own: the message's row alone tells of it."""
    first = Stage(ScriptedModel(*[[ModelAway("away")]] * 3))
    line = (await first.answer()).text
    assert first.memory.rows.keys() == {"user-job-1"}
    stage = words("I am Aria.")
    stage.memory.rows = dict(first.memory.rows)
    end = await stage.answer(requeued=True)
    assert (end.state, end.finish_reason, end.text) == ("done", "fallback", line)
    assert stage.model.prompts == []
    assert stage.memory.rows == first.memory.rows


async def test_after_a_loss_a_message_without_any_row_is_answered_anew() -> None:
    stage = words("I am Aria.")
    end = await stage.answer(requeued=True)
    assert (end.finish_reason, end.text) == ("stop", "I am Aria.")


async def whole_but_not_stored(stage: Stage) -> End:
    """The first worker died between its declaration and the rows."""
    commit = stage.memory.commit

    async def die(tenant: str, turns: CommitTurns) -> int:
        stage.memory.commit = commit  # type: ignore[method-assign]
        raise asyncio.CancelledError

    stage.memory.commit = die  # type: ignore[method-assign]
    stage.broker.release = refuse  # type: ignore[method-assign,assignment]
    await stage.submit()
    with pytest.raises(asyncio.CancelledError):
        await stage.work()
    stage.broker._jobs[TENANT, "job-1"].lease = -1.0
    await stage.broker.reap()
    await stage.work()
    return await stage.end()


async def refuse(_claim: Claim) -> bool:
    raise Unavailable("dead")


async def test_after_a_death_before_the_rows_of_a_whole_text_no_model_is_asked() -> None:
    stage = words("I am Aria.")
    end = await whole_but_not_stored(stage)
    assert (end.state, end.finish_reason, end.text, end.attempt) == ("done", "stop", "I am Aria.", 2)
    assert (end.model, end.tokens_used, end.routing) == ("m1", 1, "shortened")
    assert end.continue_score is not None
    assert len(stage.model.prompts) == 1
    assert stage.memory.rows["reply-job-1"].content == "I am Aria."
    assert stage.broker.remembered == [("user-job-1", "reply-job-1")]


async def test_a_shortened_reply_is_still_shortened_after_a_death_before_its_rows() -> None:
    stage = words("I am Aria.")
    stage.model.finish_reason = "length"
    end = await whole_but_not_stored(stage)
    assert (end.state, end.finish_reason, end.text) == ("done", "length", "I am Aria.")


async def test_a_worker_that_wakes_after_its_successor_stores_no_other_text_than_the_end_tells() -> None:
    stage = words("I am Aria.")
    commit = stage.memory.commit
    ends: list[End] = []

    async def paused(tenant: str, turns: CommitTurns) -> int:
        stage.memory.commit = commit  # type: ignore[method-assign]
        stage.broker._jobs[TENANT, "job-1"].lease = -1.0
        await stage.broker.reap()
        await stage.work()
        ends.append(await stage.end())
        return await commit(tenant, turns)

    stage.memory.commit = paused  # type: ignore[method-assign]
    await stage.submit()
    await stage.work()
    assert ends == [await stage.end()]
    assert stage.memory.rows["reply-job-1"].content == ends[0].text
    assert len(stage.model.prompts) == 1


async def test_without_the_brokers_word_no_row_is_stored() -> None:
    stage = words("I am Aria.")

    async def away(claim: Claim, verdict: Verdict) -> Declared:
        raise Unavailable("away")

    stage.broker.declare = away  # type: ignore[method-assign]
    await stage.submit()
    await stage.work()
    assert stage.memory.rows == {}
    assert not any(isinstance(event, End) for event in await stage.events())


async def test_a_fault_after_the_declaration_leaves_the_end_to_the_next_attempt() -> None:
    stage = words("I am Aria.")
    commit = stage.memory.commit

    async def broken(tenant: str, turns: CommitTurns) -> int:
        stage.memory.commit = commit  # type: ignore[method-assign]
        raise RuntimeError("a fault of ours")

    stage.memory.commit = broken  # type: ignore[method-assign]
    await stage.submit()
    await stage.work()
    assert not any(isinstance(event, End) for event in await stage.events())
    stage.broker._jobs[TENANT, "job-1"].lease = -1.0
    await stage.broker.reap()
    await stage.work()
    assert (await stage.end()).state == "done"


async def test_what_redis_lost_of_a_stored_reply_is_shown_again() -> None:
    first = words("I am Aria.")
    await first.answer()
    stage = words("never said")
    stage.memory.rows = dict(first.memory.rows)
    end = await second_attempt(stage, "I am")
    assert (end.state, end.text) == ("done", "I am Aria.")
    assert stage.model.prompts == []


async def test_after_a_death_behind_a_fallback_line_it_is_still_marked_as_one() -> None:
    line = fallback_line(aria(), "job-1")
    stage = words("never said")
    end = await second_attempt(stage, line)
    assert (end.state, end.response_type, end.text) == ("done", "fallback", line)
    assert "reply-job-1" not in stage.memory.rows
