"""F7: every misbehaviour of the model server, each time-out at its value, and the breaker that spares everyone them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence

import pytest

from bench.soak.holdings import asked_marker
from bench.soak.player import Player
from bench.soak.told import Told
from pmcp_common.testing.fake_model_script import STATUS_OF_KIND, Behaviour, Kind
from tests.faults.conftest import FIRST_TOKEN_SECONDS, IDLE_SECONDS, TOTAL_SECONDS, Trial

pytestmark = pytest.mark.asyncio(loop_scope="session")

PUNCTUAL_SECONDS = 1.0
"""A time-out may be off by so much."""
FALLBACK_SECONDS = 0.2
"""After the time-out: the marked line is there."""
NOISE_SECONDS = 0.2
"""What two busy cores may add to it in the short form."""
BREAKER = "pmcp_model_breaker_state"
CLOSED, OPEN = 0.0, 2.0
OPEN_SECONDS = 5.0
"""Of the breaker, until its first probe."""
BREAKER_NOISE_SECONDS = 0.5
"""What two busy cores may add to the whole replies between a probe's time and the word that all is well."""
TALK_PAUSE_SECONDS = 0.1
REFUSED_SECONDS = 0.5
"""A marked line without asking the model."""
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


def _off(seconds: float, value: float) -> list[float]:
    return [abs(seconds - value)]


def _arrived(trial: Trial, told: Told) -> float:
    """When the model server got its first call for this message."""
    return min(one.arrived_at for one in trial.stack.model.seen.requests if asked_marker(one) == told.marker)


@pytest.mark.parametrize("kind", BEFORE_THE_FIRST_TOKEN)
async def test_a_failure_before_the_first_token_gives_a_marked_line_in_time(trial: Trial, kind: Kind) -> None:
    told, _ = await _say_with(trial, Behaviour(kind))
    assert told.end is not None
    assert (told.end["response_type"], told.end["degraded"], told.state) == ("fallback", True, "done")
    assert told.text
    assert told.ended_at is not None
    took = told.ended_at - _arrived(trial, told)
    if kind is not Kind.HANG_BEFORE_HEADERS:
        what = "model fails before its first token: the marked line"
        trial.measured("F7", what, [took], FIRST_TOKEN_SECONDS + FALLBACK_SECONDS)
        return
    trial.measured(
        "F7", "model hangs before its headers: off its time-out", _off(took, FIRST_TOKEN_SECONDS), PUNCTUAL_SECONDS
    )
    late = max(0.0, took - FIRST_TOKEN_SECONDS)
    trial.measured("F7", "the marked line after that time-out", [late], FALLBACK_SECONDS, noise=NOISE_SECONDS)


@pytest.mark.parametrize("kind", IN_THE_MIDDLE)
async def test_a_reply_cut_short_is_never_called_done(trial: Trial, kind: Kind) -> None:
    """Asked once more where that may help, which ends the same way here."""
    told, _ = await _say_with(trial, Behaviour(kind, after_tokens=5))
    assert told.end is not None
    assert (told.state, told.end["finish_reason"]) == ("failed", "interrupted")
    assert told.text.startswith(told.marker)
    assert told.last_chunk_at is not None
    assert told.ended_at is not None
    silence = told.ended_at - told.last_chunk_at
    if kind is Kind.HANG_AFTER_TOKENS:
        trial.measured("F7", "model falls silent: off its time-out", _off(silence, IDLE_SECONDS), PUNCTUAL_SECONDS)
    else:
        trial.measured("F7", "model breaks off: the honest end", [silence], PUNCTUAL_SECONDS)


async def test_a_model_that_never_comes_to_an_end_is_ended(trial: Trial) -> None:
    told, _ = await _say_with(trial, Behaviour(gap_ms=200, tokens=1000))
    assert told.end is not None
    assert (told.state, told.end["finish_reason"]) == ("failed", "interrupted")
    assert told.ended_at is not None
    took = told.ended_at - _arrived(trial, told)
    trial.measured("F7", "endless reply: off its time-out", _off(took, TOTAL_SECONDS), PUNCTUAL_SECONDS)


@pytest.mark.parametrize("kind", HARMLESS)
async def test_what_only_arrives_oddly_is_a_whole_reply(trial: Trial, kind: Kind) -> None:
    told, _ = await _say_with(trial, Behaviour(kind, after_tokens=5))
    assert told.end is not None
    assert (told.state, told.end["response_type"]) == ("done", "direct")


async def _breakers(trial: Trial) -> list[float]:
    return [await trial.stack.metric(name, BREAKER) for name in trial.stack.parts("worker")]


async def _talk(groups: Iterator[Sequence[Player]]) -> None:
    """Four at once, others each time: a talk of many messages would ask the model for a summary as well."""
    await asyncio.gather(*(player.say() for player in next(groups)))
    await asyncio.sleep(TALK_PAUSE_SECONDS)


async def _talk_until_all_are(trial: Trial, groups: Iterator[Sequence[Player]], state: float) -> float:
    async with asyncio.timeout(60.0):
        while set(await _breakers(trial)) != {state}:
            await _talk(groups)
    return time.monotonic()


async def test_a_model_that_fails_again_and_again_is_left_alone_until_a_probe_finds_it_well(trial: Trial) -> None:
    """The breaker of each worker opens, half opens for one probe, and closes; the long form lets a probe fail."""
    groups = itertools.cycle([await trial.players(4) for _ in range(3)])
    trial.script(default=Behaviour(Kind.BROKEN_500))
    opened_at = await _talk_until_all_are(trial, groups, OPEN)
    asked = trial.stack.model.seen.faults
    while True:  # until all were open from the begin to the end of one message
        before = asked
        refused = await trial.here[0].say()
        asked = trial.stack.model.seen.faults
        if set(await _breakers(trial)) == {OPEN} and asked == before:
            break
        assert time.monotonic() - opened_at < OPEN_SECONDS
    assert refused.end is not None
    assert (refused.end["response_type"], refused.end["degraded"]) == ("fallback", True)
    assert refused.ended_at is not None
    took = refused.ended_at - refused.sent_at
    trial.measured("F7", "breaker open: the marked line", [took], REFUSED_SECONDS)
    while trial.size.is_long and trial.stack.model.seen.faults == asked:  # until a probe was sent, which fails
        await _talk(groups)
        assert time.monotonic() - opened_at < 2 * OPEN_SECONDS
    trial.script()
    healed_at = time.monotonic()
    closed_at = await _talk_until_all_are(trial, groups, CLOSED)
    longest = OPEN_SECONDS * trial.size.of(1, 2)
    what = f"model well again, breaker open for at most {longest:g} s: every breaker closed"
    trial.measured("F7", what, [closed_at - healed_at], longest + 1.0, noise=BREAKER_NOISE_SECONDS)
    again = await trial.here[0].say()
    assert again.end is not None
    assert again.end["response_type"] == "direct"
