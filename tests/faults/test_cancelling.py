"""F8: replies that are cancelled at any point, twice, or left without a word."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from bench.soak.holdings import asked_marker
from tests.faults.conftest import SEED, Trial

pytestmark = pytest.mark.asyncio(loop_scope="session")

END_SECONDS = 0.5
HANGUP_SECONDS = 1.0


async def test_cancelled_at_any_point_a_reply_ends_at_once_and_the_model_is_left(trial: Trial) -> None:
    chance = random.Random(SEED)
    trial.script(gap_ms=40, tokens=60)
    ended, left = [], []
    for player in await trial.players(trial.size.of(8, 100)):
        told = player.begin()
        hearing = asyncio.create_task(player.hear(told))
        await told.until_shown(chance.randrange(12))
        asked_at = time.monotonic()
        answers = await asyncio.gather(player.cancel(told), player.cancel(told))
        await hearing
        assert told.state == "cancelled"
        assert told.ended_at is not None
        ended.append(told.ended_at - asked_at)
        assert all("error" not in answer for answer in answers)
        await trial.stack.model.wait_until(lambda seen: seen.live_generations == 0, HANGUP_SECONDS)
        calls = [one for one in trial.stack.model.seen.requests if asked_marker(one) == told.marker]
        left += [one.ended_at - asked_at for one in calls if one.ended_at is not None]
    trial.measured("F8", "cancelled: the end", ended, END_SECONDS)
    trial.measured("F8", "cancelled: the model's connection closed", left, HANGUP_SECONDS)


async def test_a_cancel_after_the_end_changes_nothing(trial: Trial) -> None:
    player = await trial.player()
    told = await player.say()
    answer = await player.cancel(told)
    assert told.state == "done"
    assert answer["result"]["status"]


async def test_a_reply_whose_client_left_goes_on_to_its_row(trial: Trial) -> None:
    trial.script(gap_ms=40)
    player = await trial.player()
    told = player.begin()
    hearing = asyncio.create_task(player.hear(told))
    await told.until_shown(3)
    hearing.cancel()
    await asyncio.gather(hearing, return_exceptions=True)
    await player.leave()
    await trial.stack.model.wait_until(lambda seen: seen.live_generations == 0)
    assert trial.stack.model.seen.requests[-1].ended == "done"
