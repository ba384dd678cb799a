"""Retries: only before the first token, at most two, within one first-token limit."""

from __future__ import annotations

import random

import pytest

from pmcp_llm_worker.breaker import FAILURES, BreakerState
from pmcp_llm_worker.model import (
    Generation,
    ModelAway,
    ModelBroken,
    ModelError,
    ModelMissing,
    ModelStalled,
    ModelUnwilling,
    Patience,
    Prompt,
)
from pmcp_llm_worker.model_retry import MAX_RETRIES, RETRY_SECONDS, RetryingModel
from tests.unit.pmcp_llm_worker.doubles import ScriptedModel, Step, SteppingClock

PATIENCE = Patience(first_token=20.0)


class Scene:
    def __init__(self, *calls: list[Step]) -> None:
        self.model = ScriptedModel(*calls)
        self.clock = SteppingClock()
        self.pauses: list[float] = []
        self.pieces: list[str] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.seconds += seconds

    async def generate(self) -> None:
        retrying = RetryingModel(self.model, self.clock, random.Random(7), self.sleep)
        await retrying.generate(Prompt(()), Generation(10, 512), PATIENCE, self.pieces.append)

    def later(self, seconds: float) -> Step:
        return lambda: setattr(self.clock, "seconds", self.clock.seconds + seconds)


async def test_two_retries_and_then_the_failure() -> None:
    away = ModelAway("away")
    scene = Scene([away], [away], [away])
    with pytest.raises(ModelAway):
        await scene.generate()
    assert len(scene.model.prompts) == MAX_RETRIES + 1
    low, high = RETRY_SECONDS
    assert low <= scene.pauses[0] <= high
    assert 2 * low <= scene.pauses[1] <= 2 * high


async def test_nothing_is_tried_again_after_the_first_token() -> None:
    scene = Scene(["Hi", ModelBroken("truncated")])
    with pytest.raises(ModelBroken):
        await scene.generate()
    assert scene.pieces == ["Hi"]


async def test_retries_share_one_first_token_limit() -> None:
    scene = Scene()
    scene.model.calls = [[scene.later(15), ModelAway("away")], ["Hi"]]
    await scene.generate()
    assert scene.model.patience[1].first_token <= 5
    scene = Scene()
    scene.model.calls = [[scene.later(20), ModelAway("away")]]
    with pytest.raises(ModelAway):
        await scene.generate()


async def test_a_model_that_was_silent_is_not_waited_for_again() -> None:
    scene = Scene([ModelStalled("first_token", 20)])
    with pytest.raises(ModelStalled):
        await scene.generate()


async def test_a_missing_model_is_verified_and_asked_again_only_if_it_is_there() -> None:
    scene = Scene([ModelMissing("m1", "fetch it")])
    with pytest.raises(ModelMissing):
        await scene.generate()
    scene = Scene([ModelMissing("m1", "fetch it")], ["Hi"])
    scene.model.ok = True
    await scene.generate()
    assert scene.pieces == ["Hi"]


async def test_an_empty_answer_is_asked_for_again_and_then_broken() -> None:
    scene = Scene([" "], ["Hi"])
    await scene.generate()
    assert scene.pieces == [" ", "Hi"]
    with pytest.raises(ModelBroken):
        await Scene([], [], []).generate()


@pytest.mark.parametrize("error", [ModelUnwilling(400), ModelMissing("llama", "fetch it")], ids=["400", "404"])
async def test_a_server_that_refuses_the_request_itself_is_asked_once_and_not_given_up(error: ModelError) -> None:
    calls: list[list[Step]] = [[error] for _ in range(2 * FAILURES)]
    scene = Scene(*calls)
    retrying = RetryingModel(scene.model, scene.clock, random.Random(7), scene.sleep)
    for _ in range(2 * FAILURES):
        with pytest.raises(type(error)):
            await retrying.generate(Prompt(()), Generation(10, 512), PATIENCE, scene.pieces.append)
    assert retrying.breaker.state is BreakerState.CLOSED
