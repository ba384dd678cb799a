"""F7: every misbehaviour of the model server."""

from __future__ import annotations

import asyncio
import time

import pytest

from bench.soak.told import Told
from pmcp_common.testing.fake_model_script import STATUS_OF_KIND, Behaviour, Kind
from tests.faults.conftest import FIRST_TOKEN_SECONDS, IDLE_SECONDS, Trial

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOISE_SECONDS = 1.0
BEFORE_THE_FIRST_TOKEN = (*STATUS_OF_KIND, Kind.HANG_BEFORE_HEADERS, Kind.RESET, Kind.EOF_WITHOUT_DONE, Kind.ERROR_LINE)
IN_THE_MIDDLE = (
    Kind.HANG_AFTER_TOKENS,
    Kind.ERROR_LINE,
    Kind.EOF_WITHOUT_DONE,
    Kind.DROP,
    Kind.RESET,
    Kind.GARBAGE_LINE,
    Kind.CUT_JSON,
    Kind.HUGE_LINE,
)
HARMLESS = (Kind.SPLIT_UTF8, Kind.DRIP)


async def _say_with(trial: Trial, behaviour: Behaviour) -> tuple[Told, float]:
    """One message while every call of the model goes like this, and how long its end took."""
    trial.script(default=behaviour)
    player = await trial.player(len(trial.here))
    started = time.monotonic()
    told = await player.say()
    trial.script()
    await _recovered(trial)
    return told, time.monotonic() - started


async def _recovered(trial: Trial) -> None:
    """Until both workers ask the model again: after failures they may hold back for a while."""
    probes = [await trial.player(1000 + number) for number in range(4)]
    async with asyncio.timeout(60.0):
        while True:
            replies = await asyncio.gather(*(probe.say() for probe in probes))
            if all(one.end is not None and one.end.get("response_type") == "direct" for one in replies):
                return


@pytest.mark.parametrize("kind", BEFORE_THE_FIRST_TOKEN)
async def test_a_failure_before_the_first_token_gives_a_marked_line_in_time(trial: Trial, kind: Kind) -> None:
    told, _ = await _say_with(trial, Behaviour(kind))
    assert told.end is not None
    assert (told.end["response_type"], told.end["degraded"], told.state) == ("fallback", True, "done")
    assert told.text
    assert told.ended_at is not None
    longest = FIRST_TOKEN_SECONDS if kind is Kind.HANG_BEFORE_HEADERS else FIRST_TOKEN_SECONDS - NOISE_SECONDS / 2
    assert told.ended_at - told.sent_at < longest + NOISE_SECONDS
    if kind is Kind.HANG_BEFORE_HEADERS:
        assert told.ended_at - told.sent_at > FIRST_TOKEN_SECONDS - NOISE_SECONDS


@pytest.mark.parametrize("kind", IN_THE_MIDDLE)
async def test_a_reply_cut_short_is_never_called_done(trial: Trial, kind: Kind) -> None:
    told, _ = await _say_with(trial, Behaviour(kind, after_tokens=5, line_bytes=200_000))
    assert told.end is not None
    assert (told.state, told.end["finish_reason"]) != ("done", "stop")
    assert told.text.startswith(told.marker)
    if kind is Kind.HANG_AFTER_TOKENS:
        assert told.first_at is not None
        assert told.ended_at is not None
        assert told.ended_at - told.first_at > IDLE_SECONDS - NOISE_SECONDS


@pytest.mark.parametrize("kind", HARMLESS)
async def test_what_only_arrives_oddly_is_a_whole_reply(trial: Trial, kind: Kind) -> None:
    told, _ = await _say_with(trial, Behaviour(kind, after_tokens=5))
    assert told.end is not None
    assert (told.state, told.end["response_type"]) == ("done", "direct")
