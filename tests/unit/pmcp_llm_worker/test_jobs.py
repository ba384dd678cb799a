"""The boundary of the worker: one terminal event whatever happens, and off-path work that is tried again."""

from __future__ import annotations

import logging

import pytest
from arq import Retry

from pmcp_common.contracts.errors import INTERNAL_ERROR, PersonaNotFound, Unavailable
from pmcp_common.contracts.jobs import Claim, End
from pmcp_common.contracts.memories import Role, Turn
from pmcp_common.logs import request_id
from pmcp_llm_worker.jobs import REMEMBER_MAX_PAUSE_SECONDS, REMEMBER_TRIES, RememberJob
from tests.unit.pmcp_llm_worker.doubles import TENANT, Memory, Personas, ScriptedModel, Stage, turn


async def test_a_fault_of_ours_becomes_the_end_and_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(ScriptedModel(["I am", LookupError("a secret detail")]))
    end = await stage.answer()
    assert (end.state, end.error_code, end.error_message) == ("failed", INTERNAL_ERROR.code, "Internal error")
    assert end.finish_reason == "internal_error"
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "a secret detail" not in str(end)
    assert stage.leases.running == 0


async def test_the_end_of_a_fault_is_tried_again_while_the_broker_is_away() -> None:
    stage = Stage(ScriptedModel([LookupError()]))
    finish, failures = stage.broker.finish, [Unavailable("away")] * 3

    async def flaky(claim: Claim, end: End, *, remember: bool) -> bool:
        if failures:
            raise failures.pop()
        return await finish(claim, end, remember=remember)

    stage.broker.finish = flaky  # type: ignore[method-assign]
    assert (await stage.answer()).state == "failed"


async def test_the_next_message_of_the_conversation_runs_after_a_fault() -> None:
    stage = Stage(ScriptedModel([LookupError()], ["I am Aria."]))
    await stage.submit("job-1")
    await stage.submit("job-2")
    await stage.work()
    await stage.work()
    assert (await stage.end("job-2")).text == "I am Aria."


async def test_a_job_that_ended_is_left_alone() -> None:
    stage = Stage(ScriptedModel(["I am Aria."]))
    await stage.answer()
    await stage.job(TENANT, "job-1", "job-1:1")
    await stage.job(TENANT, "unknown", "x")
    assert (await stage.end()).text == "I am Aria."


async def test_a_stale_ticket_runs_nothing() -> None:
    stage = Stage(ScriptedModel(["I am Aria."]))
    await stage.submit()
    await stage.job(TENANT, "job-1", "job-1:0")
    assert await stage.events() == []


async def test_the_request_id_goes_with_the_reply() -> None:
    stage = Stage(ScriptedModel())
    seen: list[str | None] = []
    stage.model.calls = [[lambda: seen.append(request_id.get()), "Hi."]]
    await stage.answer()
    assert seen == ["request-job-1"]


@pytest.fixture
def memory() -> Memory:
    memory = Memory()
    memory.rows["reply-job-1"] = turn(2, Role.ASSISTANT, "I am Aria.").model_copy(update={"message_id": "reply-job-1"})
    return memory


async def remember(memory: Memory, personas: Personas, *, attempt: int = 1, seconds: float = 2.5) -> None:
    job = RememberJob(memory, personas)
    await job({"job_id": "remember:job-1", "job_try": attempt}, TENANT, "job-1", "user-job-1", "reply-job-1", seconds)


async def test_a_turn_becomes_memories_and_tires_the_persona(memory: Memory) -> None:
    personas = Personas()
    await remember(memory, personas)
    assert memory.remembered[0].message_ids == ("user-job-1", "reply-job-1")
    interaction = personas.interactions[0]
    assert (interaction.player_id, interaction.interaction_id) == ("player", "reply-job-1")
    assert interaction.duration_seconds == 2.5


async def test_the_players_words_say_how_the_persona_was_spoken_to(memory: Memory) -> None:
    memory.rows["user-job-1"] = turn(1, Role.USER, "You are a wonderful singer!")
    personas = Personas()
    await remember(memory, personas)
    interaction = personas.interactions[0]
    assert interaction.sentiment is not None
    assert interaction.sentiment > 0
    assert interaction.user_message_id == "user-job-1"


async def test_words_that_are_not_there_are_not_judged(memory: Memory) -> None:
    personas = Personas()
    await remember(memory, personas)
    assert personas.interactions[0].sentiment is None


def farewell(player_id: str = "player", score: float | None = 38.0) -> Turn:
    said = turn(2, Role.ASSISTANT, "I should be on my way now.")
    about = {"response_type": "closing", "continue_score": score}
    return said.model_copy(update={"message_id": "reply-job-1", "player_id": player_id, "metadata": about})


async def test_after_its_farewell_a_persona_rests_and_nothing_is_remembered(memory: Memory) -> None:
    personas = Personas()
    memory.rows["reply-job-1"] = farewell()
    await remember(memory, personas)
    ((persona_id, end),) = personas.ended
    assert (persona_id, end.player_id, end.interaction_id) == ("p-aria", "player", "reply-job-1")
    assert end.continue_score == 38.0
    assert (personas.interactions, memory.remembered) == ([], [])


@pytest.mark.parametrize("said", [farewell(player_id="persona:p-kira"), farewell(score=None)])
async def test_who_leads_a_talk_between_personas_ends_it_and_nobody_rests_twice(memory: Memory, said: Turn) -> None:
    personas = Personas()
    memory.rows["reply-job-1"] = said
    await remember(memory, personas)
    assert (personas.ended, personas.interactions, memory.remembered) == ([], [], [])


async def test_a_farewell_of_a_persona_deleted_meanwhile_needs_no_second_try(memory: Memory) -> None:
    personas = Personas()
    personas.failure = PersonaNotFound("p-aria")
    memory.rows["reply-job-1"] = farewell()
    await remember(memory, personas)
    assert personas.ended == []


async def test_a_persona_deleted_meanwhile_needs_no_second_try(memory: Memory) -> None:
    personas = Personas()
    personas.failure = PersonaNotFound("p-aria")
    await remember(memory, personas)
    assert personas.interactions == []


async def test_a_very_long_reply_counts_as_an_hour(memory: Memory) -> None:
    personas = Personas()
    await remember(memory, personas, seconds=9999)
    assert personas.interactions[0].duration_seconds == 3600


async def test_a_turn_still_in_the_spool_is_tried_again() -> None:
    with pytest.raises(Retry):
        await remember(Memory(), Personas())


async def test_tries_are_further_apart_each_time_and_bounded(memory: Memory, caplog: pytest.LogCaptureFixture) -> None:
    personas = Personas()
    personas.failure = Unavailable("away")
    pauses = []
    for attempt in range(1, REMEMBER_TRIES):
        with pytest.raises(Retry) as caught:
            await remember(memory, personas, attempt=attempt)
        pauses.append(caught.value.defer_score or 0)
    assert pauses == sorted(pauses)
    assert max(pauses) <= REMEMBER_MAX_PAUSE_SECONDS * 1000
    await remember(memory, personas, attempt=REMEMBER_TRIES)
    assert "out of tries" in caplog.text
