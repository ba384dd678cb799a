"""Learning waits for replies and for budget, fails visibly, and never takes a failure for nothing to learn."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from arq import Retry
from prometheus_client import REGISTRY

from pmcp_common.contracts.errors import Conflict, DomainError, Unavailable
from pmcp_common.contracts.learning import LearningDraft, LearningTask, digest_of
from pmcp_common.contracts.memories import Role
from pmcp_llm_worker.learn import LEARNING_TRIES, Learner, LearningRules
from pmcp_llm_worker.model import Generation, ModelAway, Patience
from pmcp_llm_worker.model_retry import RetryingModel
from tests.unit.pmcp_llm_worker.doubles import ScriptedModel, SteppingClock, no_sleep, turn

SIDE = ("conv_x", "p-aria", "player")
TURNS = tuple(turn(n, Role.ASSISTANT if n % 2 else Role.USER, f"words {n}") for n in range(4))


class Lessons:
    def __init__(self, *tasks: LearningTask) -> None:
        self.tasks = list(tasks)
        self.drafts: list[LearningDraft] = []
        self.failure: DomainError | None = None
        self.batch = 0

    async def learning_task(
        self, tenant: str, conversation_id: str, persona_id: str, player_id: str, *, batch: int
    ) -> LearningTask:
        self.batch = batch
        return self.tasks[0] if self.tasks else LearningTask(turns=())

    async def learn(self, tenant: str, conversation_id: str, draft: LearningDraft) -> int:
        if self.failure:
            raise self.failure
        self.drafts.append(draft)
        self.tasks.pop(0)
        return len(draft.lessons)


class Book:
    def __init__(self, wait: float = 0.0, failures: int = 0) -> None:
        self.wait = wait
        self.calls = 0
        self.failures = failures

    async def take_call(self, tenant: str) -> float:
        self.calls += 1
        return self.wait

    async def failed(self, tenant: str, conversation_id: str) -> int:
        self.failures += 1
        return self.failures

    async def succeeded(self, tenant: str, conversation_id: str) -> None:
        self.failures = 0


def learner(memory: Lessons, model: ScriptedModel, book: Book | None = None, *, replies_wait: bool = False) -> Learner:
    async def waiting() -> bool:
        return replies_wait

    retrying = RetryingModel(model, SteppingClock(), sleep=no_sleep)
    rules = LearningRules("m1", after_turns=4)
    return Learner(memory, book or Book(), retrying, Generation(300, 2048), Patience(), rules, waiting)


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("pmcp_learning_total", {"outcome": outcome}) or 0.0


def due() -> LearningTask:
    return LearningTask(turns=TURNS)


async def run(job: Learner) -> float | None:
    """Seconds until it runs again; None: it ended."""
    try:
        await job({}, "local", *SIDE)
    except Retry as again:
        return (again.defer_score or 0) / 1000
    return None


async def test_what_the_model_says_is_handed_over_with_its_turns_and_its_name() -> None:
    memory, book = Lessons(due()), Book(failures=2)
    job = learner(memory, ScriptedModel(["FACT: Ilse is", " a sister."]), book)
    assert await run(job) is not None
    (draft,) = memory.drafts
    assert [lesson.content for lesson in draft.lessons] == ["Ilse is a sister."]
    assert draft.message_ids == tuple(one.message_id for one in TURNS)
    assert draft.digest == digest_of((one.message_id, one.content) for one in TURNS)
    assert (draft.persona_id, draft.player_id, draft.model) == ("p-aria", "player", "m1")
    assert (memory.batch, book.failures) == (4, 0)
    assert await run(job) is None  # nothing more is due


async def test_nothing_due_costs_neither_a_call_nor_budget() -> None:
    model, book = ScriptedModel(), Book()
    assert await run(learner(Lessons(), model, book)) is None
    assert (model.prompts, book.calls) == ([], 0)


async def test_nothing_to_learn_is_done() -> None:
    memory, before = Lessons(due()), counted("nothing")
    await run(learner(memory, ScriptedModel(["NOTHING"])))
    assert memory.drafts[0].lessons == ()
    assert counted("nothing") == before + 1


async def test_while_replies_wait_the_model_is_not_asked() -> None:
    model, book = ScriptedModel(), Book()
    assert await run(learner(Lessons(due()), model, book, replies_wait=True)) == 5
    assert (model.prompts, book.calls, book.failures) == ([], 0, 0)


async def test_without_budget_it_waits_for_the_next_hour_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    model, book, before = ScriptedModel(), Book(wait=1800.0), counted("over_budget")
    assert await run(learner(Lessons(due()), model, book)) == 1800
    assert (model.prompts, book.failures, counted("over_budget")) == ([], 0, before + 1)
    assert "budget" in caplog.text


@pytest.mark.parametrize(
    "steps", [[ModelAway("away")], ["  \n"], ["As a language model, I"]], ids=["a failure", "empty", "unreadable"]
)
async def test_a_failed_answer_learns_nothing_and_is_tried_again_ever_later(steps: list[Any]) -> None:
    memory, book, before = Lessons(due()), Book(), counted("retried")
    pauses = []
    for _ in range(3):
        pauses.append(await run(learner(memory, ScriptedModel(*[steps] * 3), book)))
    assert pauses == [5, 10, 20]
    assert memory.drafts == []
    assert counted("retried") == before + 3
    await run(learner(memory, ScriptedModel(["FACT: It is well again."]), book))
    assert (len(memory.drafts), book.failures) == (1, 0)


async def test_out_of_tries_it_is_visible_as_failed_and_the_turns_are_still_to_be_learned_from(
    caplog: pytest.LogCaptureFixture,
) -> None:
    memory, book, before = Lessons(due()), Book(failures=LEARNING_TRIES - 1), counted("failed")
    assert await run(learner(memory, ScriptedModel(["gibberish"]), book)) is None
    assert counted("failed") == before + 1
    assert [record.levelno for record in caplog.records if "out of tries" in record.message] == [logging.ERROR]
    assert await learner(memory, ScriptedModel(), book).is_due("local", SIDE)


async def test_turns_that_changed_meanwhile_are_read_again_without_counting_as_a_failure() -> None:
    memory, book = Lessons(due()), Book()
    memory.failure = Conflict("changed")
    assert await run(learner(memory, ScriptedModel(["FACT: x"]), book)) == 5
    assert book.failures == 0


async def test_a_memory_service_that_is_away_is_asked_again_later() -> None:
    memory, book = Lessons(due()), Book()
    memory.failure = Unavailable("away")
    assert await run(learner(memory, ScriptedModel(["FACT: x"]), book)) == 5
    assert book.failures == 1
