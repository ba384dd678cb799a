"""One reply from claim to end, and each way it can go wrong."""

from __future__ import annotations

import hashlib

import pytest

from pmcp_common.contracts.ends import LAST_FALLBACK_LINE
from pmcp_common.contracts.errors import LLM_ERROR, PERSONA_NOT_FOUND, PERSONA_UNAVAILABLE, UNAVAILABLE, Unavailable
from pmcp_common.contracts.jobs import Claim, Delta, End
from pmcp_common.contracts.memories import MAX_CONTENT_BYTES, Role
from pmcp_llm_worker.model import ModelAway, ModelBroken, ModelBusy, ModelMissing, ModelStalled
from pmcp_llm_worker.turn_outcome import fallback_line
from tests.unit.pmcp_llm_worker.doubles import (
    TENANT,
    ScriptedModel,
    Stage,
    aria,
    memory,
    standing,
    submission,
    turn,
    words,
)

FAILURES = [
    ModelAway("away"),
    ModelBusy("busy"),
    ModelMissing("m1", "ollama pull m1"),
    ModelBroken("truncated"),
    ModelStalled("first_token", 20),
]


async def test_a_reply_is_streamed_stored_and_ended_once() -> None:
    stage = words("I am", " Aria.")
    end = await stage.answer()
    assert (end.state, end.finish_reason, end.response_type) == ("done", "stop", "direct")
    assert end.text == "I am Aria."
    assert end.sha256 == hashlib.sha256(b"I am Aria.").hexdigest()
    assert (end.degraded, end.persisted, end.memory) == (False, True, "ok")
    assert (end.model, end.provider, end.tokens_used) == ("m1", "scripted", 2)
    assert (end.error_code, end.error_message) == (None, None)
    deltas = [event for event in await stage.events() if isinstance(event, Delta)]
    assert "".join(delta.text for delta in deltas) == end.text
    assert [delta.seq for delta in deltas] == list(range(1, end.seq))
    assert end.chunk_count == len(deltas)
    assert stage.broker.remembered == [("user-job-1", "reply-job-1")]
    assert stage.models == ["m1"]


async def test_both_sides_are_stored_in_order_before_the_end() -> None:
    stage = words("I am Aria.")
    ended_before: list[bool] = []

    def look() -> None:
        job = stage.broker._jobs[TENANT, "job-1"]
        ended_before.append(any(isinstance(event, End) for event in job.events))

    stage.memory.before_commit = look
    await stage.answer()
    assert ended_before == [False]
    asked, answered = stage.memory.rows["user-job-1"], stage.memory.rows["reply-job-1"]
    assert (asked.role, asked.content) == (Role.USER, "Hello, who are you?")
    assert (answered.role, answered.content) == (Role.ASSISTANT, "I am Aria.")
    assert asked.created_at <= answered.created_at
    assert asked.conversation_id == answered.conversation_id
    assert answered.metadata["request_id"] == "request-job-1"
    assert answered.metadata["model"] == "m1"


@pytest.mark.parametrize(
    ("player", "speaker"),
    [("Bo", "Bo"), ("the-session", None), ("persona:p-kira", None)],
    ids=["named by the client", "known by its session", "a persona"],
)
async def test_stored_turns_say_who_spoke_and_in_which_session(player: str, speaker: str | None) -> None:
    stage = words("I am Aria.")
    await stage.answer(player_id=player, session_id="the-session")
    asked, answered = stage.memory.rows["user-job-1"], stage.memory.rows["reply-job-1"]
    assert asked.metadata.get("speaker") == speaker
    assert answered.metadata["speaker"] == "Aria"
    assert asked.metadata["session_id"] == answered.metadata["session_id"] == "the-session"


@pytest.mark.parametrize(("told", "kept"), [("1203-05-01T10:00:00Z", "1203-05-01T10:00:00Z"), (7, None)])
async def test_stored_turns_tell_the_time_of_the_clients_world(told: object, kept: str | None) -> None:
    stage = words("I am Aria.")
    await stage.answer(circumstances={"notes": {"world_time": told}})
    assert {row.metadata.get("world_time") for row in stage.memory.rows.values()} == {kept}


async def test_the_prompt_has_persona_history_and_memories() -> None:
    stage = words("Yes.")
    stage.memory.turns = (turn(1, Role.USER, "I like tea."), turn(2, Role.ASSISTANT, "So do I."))
    stage.memory.memories = (memory(1, "The guest is called Bo."),)
    await stage.answer()
    contents = [message.content for message in stage.model.prompts[0].messages]
    assert contents[0].startswith("You are Aria.")
    assert contents[1:3] == ["I like tea.", "So do I."]
    assert "The guest is called Bo." in contents[3]
    assert "Hello, who are you?" in contents[3]


async def test_a_message_that_is_stored_already_is_not_its_own_history() -> None:
    stage = words("Yes.")
    stage.memory.turns = (turn(1, Role.USER, "earlier").model_copy(update={"message_id": "user-job-1"}),)
    await stage.answer()
    assert len(stage.model.prompts[0].messages) == 2


async def test_the_end_says_how_the_persona_stands_and_how_long_it_took() -> None:
    stage = Stage(ScriptedModel())
    stage.model.calls = [["I am", lambda: setattr(stage.clock, "seconds", 2.5), " Aria."]]
    end = await stage.answer()
    assert end.processing_time == pytest.approx(2.5, abs=0.2)
    assert end.persona_state == {"social_energy": 150, "available_time": 600, "interaction_fatigue": 0}
    assert end.continue_score is not None
    assert {"pickup_ms", "context_ms", "model_first_token_ms", "first_token_ms", "model_ms"} <= set(end.timings)


@pytest.mark.parametrize(("budget", "cap"), [(10, 10), (5000, 50), (0, 1)])
async def test_the_clients_budget_and_the_setting_both_cap_the_reply(budget: int, cap: int) -> None:
    stage = words("Hi.")
    await stage.answer(token_budget=budget)
    assert stage.model.generations[0].max_tokens == cap


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.reason)
async def test_without_a_model_a_marked_line_of_the_persona_is_said(failure: Exception) -> None:
    stage = Stage(ScriptedModel(*[[failure]] * 3))
    end = await stage.answer()
    assert end.text in aria().fallback_lines
    assert (end.state, end.finish_reason, end.response_type) == ("done", "fallback", "fallback")
    assert (end.degraded, end.model, end.provider) == (True, "", "")
    assert end.reason == str(failure)
    assert list(stage.memory.rows) == ["user-job-1"]
    assert stage.broker.remembered == []
    assert stage.models == [None]


async def test_the_fallback_line_depends_on_the_stream_alone() -> None:
    lines = {fallback_line(aria(), f"job-{n}") for n in range(50)}
    assert lines == set(aria().fallback_lines)
    assert fallback_line(aria(), "x") == fallback_line(aria(), "x")
    assert fallback_line(aria(fallback_lines=()), "x") == LAST_FALLBACK_LINE


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.reason)
async def test_a_model_that_breaks_off_twice_leaves_the_partial_and_says_so(failure: Exception) -> None:
    stage = Stage(ScriptedModel(["I am", failure], [" Aria", failure]))
    end = await stage.answer()
    stalled = isinstance(failure, ModelStalled)
    said = "I am" if stalled else "I am Aria"
    assert (end.state, end.finish_reason, end.text) == ("failed", "interrupted", said)
    assert end.error_code == LLM_ERROR.code
    assert end.error_message
    assert stage.memory.rows["reply-job-1"].content == said
    assert stage.broker.remembered == []
    assert len(stage.model.prompts) == (1 if stalled else 2)


async def test_a_retry_before_the_first_token_is_not_seen_by_the_client() -> None:
    stage = Stage(ScriptedModel([ModelBusy("busy")], ["I am Aria."]))
    end = await stage.answer()
    assert (end.state, end.text, end.degraded) == ("done", "I am Aria.", False)


async def test_a_model_that_says_nothing_counts_as_broken() -> None:
    stage = Stage(ScriptedModel([" "], [], ["\n"]))
    assert (await stage.answer()).response_type == "fallback"


async def test_a_persona_that_rests_is_an_error_and_no_model_is_asked() -> None:
    stage = words("never said")
    stage.personas.state = standing(is_available=False, cooldown_remaining=90.0)
    end = await stage.answer()
    assert (end.state, end.error_code) == ("failed", PERSONA_UNAVAILABLE.code)
    assert end.error_message == "Persona Aria is not available for interaction"
    assert end.text == ""
    assert end.error_data == {"cooldown_remaining": 90.0}
    assert (end.response_type, end.routing, end.memory) == ("none", "none", "none")
    assert stage.model.prompts == []
    assert stage.memory.rows == {}


async def test_a_persona_that_is_gone_is_an_error() -> None:
    stage = words("never said")
    stage.personas.persona = None
    end = await stage.answer()
    assert (end.state, end.error_code, end.finish_reason) == ("failed", PERSONA_NOT_FOUND.code, "persona_not_found")
    assert end.error_message == "Persona not found: p-aria"


async def test_the_sessions_persona_that_is_gone_is_said_to_be_the_current_one() -> None:
    stage = words("never said")
    stage.broker.sessions[TENANT, submission().session_id] = ("p-aria", "Aria")
    stage.personas.persona = None
    end = await stage.answer(persona_id=None)
    assert end.error_message == "Current persona not found (Persona not found: p-aria)"


async def test_a_missing_model_is_named_with_its_command_in_the_end() -> None:
    end = await Stage(ScriptedModel(*[[ModelMissing("m1", "ollama pull m1")]] * 3)).answer()
    assert end.reason == "The model m1 is not available: ollama pull m1"


async def test_without_the_persona_service_an_unknown_persona_fails_and_a_known_one_answers() -> None:
    stage = Stage(ScriptedModel(["first"], ["second"]))
    stage.personas.failure = Unavailable("away")
    assert (await stage.answer()).error_code == UNAVAILABLE.code
    stage.personas.failure = None
    await stage.submit("job-2")
    await stage.work()
    stage.personas.failure = Unavailable("away")
    await stage.submit("job-3")
    await stage.work()
    end = await stage.end("job-3")
    assert (end.state, end.text, end.persona_state, end.continue_score) == ("done", "second", {}, None)


@pytest.mark.parametrize("whole_service", [True, False])
async def test_without_recall_the_reply_comes_and_says_so(whole_service: bool) -> None:
    stage = words("I am Aria.")
    if whole_service:
        stage.memory.failure = Unavailable("away")
    else:
        stage.memory.recall = "unavailable"
    end = await stage.answer()
    assert (end.state, end.memory, end.degraded) == ("done", "unavailable", True)
    assert end.reason == "Memory does not answer: the reply was made without recall"
    assert end.persisted is not whole_service


async def test_turns_that_cannot_be_stored_are_spooled_and_remembered_later() -> None:
    stage = words("I am Aria.")
    stage.memory.commit_failure = Unavailable("away")
    end = await stage.answer()
    assert (end.state, end.persisted) == ("done", False)
    assert [row.message_id for row in stage.spool.entries[0].turns.turns] == ["user-job-1", "reply-job-1"]
    assert stage.broker.remembered == [("user-job-1", "reply-job-1")]


async def test_turns_join_the_spool_while_others_wait_in_it() -> None:
    """Stored at once they would stand before turns of their conversation that were earlier."""
    stage = words("I sing.")
    stage.broker.others_owed = True
    end = await stage.answer()
    assert (end.state, end.persisted, len(stage.spool.entries)) == ("done", False, 1)
    assert stage.memory.rows == {}


async def test_turns_that_are_lost_are_not_remembered() -> None:
    stage = words("I am Aria.")
    stage.memory.commit_failure = stage.spool.failure = Unavailable("away")
    assert not (await stage.answer()).persisted
    assert stage.broker.remembered == []


async def test_an_end_is_tried_again_while_the_broker_is_away() -> None:
    stage = words("Hi.")
    finish, failures = stage.broker.finish, [Unavailable("away")] * 3

    async def flaky(claim: Claim, end: End, *, remember: bool) -> bool:
        if failures:
            raise failures.pop()
        return await finish(claim, end, remember=remember)

    stage.broker.finish = flaky  # type: ignore[method-assign]
    assert (await stage.answer()).state == "done"


async def test_a_reply_stops_where_a_stored_turn_would() -> None:
    stage = words("é" * MAX_CONTENT_BYTES)
    end = await stage.answer()
    assert (end.state, end.finish_reason) == ("done", "length")
    assert len(end.text.encode()) == MAX_CONTENT_BYTES
    assert end.persisted


async def test_tokens_are_estimated_when_the_server_does_not_count() -> None:
    stage = words("one two three four")
    stage.model.counts = False
    assert (await stage.answer()).tokens_used == 5


async def test_a_message_with_nul_is_answered_and_stored_without_it() -> None:
    stage = words("Hi.")
    await stage.submit()
    stage.broker._jobs[TENANT, "job-1"].submission = submission(message="a\x00b")
    await stage.work()
    assert stage.memory.rows["user-job-1"].content == "a\ufffdb"


async def test_a_weary_persona_takes_its_leave_without_a_model() -> None:
    stage = Stage(ScriptedModel())
    stage.personas.state = standing(available_time=31, interaction_fatigue=60, social_energy=11)
    end = await stage.answer()
    assert (end.state, end.finish_reason, end.response_type, end.routing) == ("done", "closing", "closing", "closing")
    assert end.continue_score is not None
    assert end.continue_score < 40
    assert end.text
    assert (end.degraded, end.model) == (False, "")
    assert stage.memory.rows["reply-job-1"].content == end.text
    assert len(stage.broker.remembered) == 1


async def test_a_score_is_acted_on_and_told_with_its_parts() -> None:
    stage = words("Yes.")
    end = await stage.answer()
    assert end.routing == "shortened"
    assert end.continue_score == pytest.approx(sum(end.score_parts.values()) - 2 * end.score_parts["fatigue"], abs=0.1)
    assert stage.model.generations[0].temperature == 0.6
    assert "at most 75 words" in stage.model.prompts[0].messages[-1].content
    assert stage.memory.rows["reply-job-1"].metadata["continue_score"] == end.continue_score


async def test_what_is_to_be_seen_is_in_the_last_turn_only() -> None:
    stage = words("Yes.")
    stage.broker.sights[TENANT, "s"] = {"scene": {"place": "a hall"}}
    await stage.answer()
    first, *_, last = stage.model.prompts[0].messages
    assert "a hall" in last.content
    assert "a hall" not in first.content


async def test_a_talk_without_budget_ends_with_a_farewell() -> None:
    stage = Stage(ScriptedModel())
    end = await stage.answer(player_id="persona:p-kira", circumstances={"topic": "music", "closing": True})
    assert (end.response_type, end.routing) == ("closing", "closing")
