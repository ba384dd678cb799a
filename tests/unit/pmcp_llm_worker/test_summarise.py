"""Summaries grow step by step; a failed model is no empty summary."""

from __future__ import annotations

from typing import Any

import pytest
from arq import Retry

from pmcp_common.contracts.conversations import SummaryDraft, SummaryTask
from pmcp_common.contracts.errors import Conflict, DomainError, Unavailable
from pmcp_common.contracts.memories import Role
from pmcp_llm_worker.model import Generation, ModelAway, Patience
from pmcp_llm_worker.model_retry import RetryingModel
from pmcp_llm_worker.summarise import SUMMARY_TRIES, Summariser, SummarySizes, take_notes
from tests.unit.pmcp_llm_worker.doubles import ScriptedModel, SteppingClock, no_sleep, turn

SIDE = ("conv_x", "p-aria", "player")


class Conversations:
    def __init__(self, *tasks: SummaryTask) -> None:
        self.tasks = list(tasks)
        self.written: list[SummaryDraft] = []
        self.failure: DomainError | None = None
        self.asked: dict[str, int] = {}

    async def summary_task(
        self, tenant: str, conversation_id: str, persona_id: str, player_id: str, *, keep: int, after: int, batch: int
    ) -> SummaryTask:
        self.asked = {"keep": keep, "after": after, "batch": batch}
        return self.tasks[0] if self.tasks else SummaryTask(previous=None, version=0, turns=())

    async def write_summary(self, tenant: str, conversation_id: str, draft: SummaryDraft) -> int:
        if self.failure:
            raise self.failure
        self.written.append(draft)
        self.tasks.pop(0)
        return draft.after_version + 1

    facts: Any = None
    exchanges: Any = None
    forget_player: Any = None


def task(count: int, previous: str | None = None, version: int = 0, content: str = "words") -> SummaryTask:
    turns = tuple(turn(n, Role.ASSISTANT if n % 2 else Role.USER, f"{content} {n}") for n in range(count))
    return SummaryTask(previous=previous, version=version, turns=turns)


def summariser(conversations: Conversations, model: ScriptedModel, num_ctx: int = 2048) -> Summariser:
    retrying = RetryingModel(model, SteppingClock(), sleep=no_sleep)
    return Summariser(conversations, retrying, Generation(300, num_ctx), Patience(), SummarySizes(20, 50, 10))


async def test_a_summary_is_written_on_top_of_the_one_before() -> None:
    conversations = Conversations(task(12), task(10, "They met.", 1))
    model = ScriptedModel(["They met."], [" They met and sang. "])
    await summariser(conversations, model)({}, "local", *SIDE)
    assert [draft.content for draft in conversations.written] == ["They met.", "They met and sang."]
    assert [draft.after_version for draft in conversations.written] == [0, 1]
    assert "The summary so far: They met." in model.prompts[1].messages[1].content
    assert conversations.asked == {"keep": 20, "after": 50, "batch": 10}


async def test_nothing_due_costs_no_model_call() -> None:
    model = ScriptedModel()
    await summariser(Conversations(), model)({}, "local", *SIDE)
    assert model.prompts == []


@pytest.mark.parametrize("steps", [[ModelAway("away")], ["  \n"]], ids=["a failure", "an empty answer"])
async def test_without_a_usable_answer_nothing_is_written_and_it_is_tried_again(steps: list[Any]) -> None:
    conversations = Conversations(task(12, "As it was.", 3))
    with pytest.raises(Retry):
        await summariser(conversations, ScriptedModel(*[steps] * 3))({"job_try": 1}, "local", *SIDE)
    assert conversations.written == []


async def test_it_gives_up_after_its_tries() -> None:
    conversations = Conversations(task(12))
    await summariser(conversations, ScriptedModel(*[[ModelAway("away")]] * 3))({"job_try": SUMMARY_TRIES}, "t", *SIDE)
    assert conversations.written == []


async def test_a_summary_written_by_another_worker_ends_the_job() -> None:
    conversations = Conversations(task(12))
    conversations.failure = Conflict("written meanwhile")
    await summariser(conversations, ScriptedModel(["x"]))({"job_try": 1}, "local", *SIDE)


async def test_a_memory_service_that_is_away_is_asked_again_later() -> None:
    conversations = Conversations(task(12))
    conversations.failure = Unavailable("away")
    with pytest.raises(Retry):
        await summariser(conversations, ScriptedModel(["x"]))({"job_try": 2}, "local", *SIDE)


def test_notes_fit_the_window_and_say_how_far_they_go() -> None:
    notes = take_notes(task(100, content="long " * 100), 1500)
    assert notes.upto.message_id != "old-99"
    assert notes.prompt.messages[1].content.endswith(notes.upto.content.split()[-1])
    whole = take_notes(task(5), 1500)
    assert whole.upto.message_id == "old-4"


def test_one_turn_is_always_taken() -> None:
    assert take_notes(task(3, content="long " * 5000), 10).upto.message_id == "old-0"
