"""The process killer: the same seed strikes the same way, nothing stays paused, and the log says what happened."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_common.testing.pinned_process import PinnedProcess
from pmcp_common.testing.process_killer import (
    Action,
    Outcome,
    ProcessKiller,
    Schedule,
    Strike,
    Struck,
    Target,
)

BOUND_SECONDS = 5.0
HEEDLESS = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"


@dataclass
class ManualTime:
    """Time goes on only when somebody sleeps."""

    seconds: float = 1000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        until = self.seconds + seconds
        await asyncio.sleep(0)
        self.seconds = max(self.seconds, until)


@dataclass
class FakeVictim:
    """Remembers its signals; ends at those it does not ignore."""

    ignores: tuple[int, ...] = ()
    signals: list[int] = field(default_factory=list)
    ended: bool = False
    closed: bool = False

    def send(self, number: int) -> None:
        if self.ended:
            raise ProcessLookupError
        self.signals.append(number)
        self.ended = number in (signal.SIGKILL, signal.SIGTERM) and number not in self.ignores

    async def wait_exit(self, timeout_seconds: float) -> bool:
        return self.ended

    def close(self) -> None:
        self.closed = True


def restarts(made: list[FakeVictim]) -> Callable[[], Awaitable[FakeVictim]]:
    async def restart() -> FakeVictim:
        made.append(FakeVictim())
        return made[-1]

    return restart


@given(st.integers(), st.lists(st.sampled_from(["gateway-1", "worker-1", "worker-2"]), min_size=1, unique=True))
def test_a_seed_gives_the_same_strikes_again_within_the_duration(seed: int, targets: list[str]) -> None:
    schedule = Schedule(seed, tuple(targets), duration_seconds=300, mean_gap_seconds=5)
    strikes = schedule.strikes()
    assert strikes == Schedule(seed, tuple(targets), duration_seconds=300, mean_gap_seconds=5).strikes()
    assert [s.at for s in strikes] == sorted(s.at for s in strikes)
    assert all(0 <= s.at < 300 and s.target in targets for s in strikes)
    assert all((s.pause_seconds > 0) == (s.action is Action.PAUSE) for s in strikes)


def test_two_seeds_strike_differently_and_every_action_and_target_has_its_turn() -> None:
    first, second = (Schedule(seed, ("a", "b"), 600, 2).strikes() for seed in (1, 2))
    assert first != second
    assert {s.action for s in first} == set(Action)
    assert {s.target for s in first} == {"a", "b"}


@pytest.mark.parametrize(
    ("targets", "duration", "gap"), [((), 10, 1), (("a",), 0, 1), (("a",), 10, 0), (("a",), 1e6, 1)]
)
def test_a_schedule_without_targets_or_bounds_is_refused(targets: tuple[str, ...], duration: float, gap: float) -> None:
    with pytest.raises(ValueError, match="schedule"):
        Schedule(1, targets, duration, gap)


async def test_each_strike_comes_at_its_time_and_is_logged() -> None:
    time, made, seen = ManualTime(), [FakeVictim()], list[Struck]()
    targets = {"worker": Target(made[0], restarts(made))}
    strikes = [Strike(30.0, "worker", Action.TERMINATE), Strike(10.0, "worker", Action.KILL)]
    async with ProcessKiller(targets, clock=time, sleep=time.sleep, on_struck=seen.append) as killer:
        await killer.run(strikes)
        assert list(killer.log) == seen
    assert [(s.at, s.action, s.outcome) for s in seen] == [
        (1010.0, Action.KILL, Outcome.DONE),
        (1030.0, Action.TERMINATE, Outcome.DONE),
    ]
    assert [victim.signals for victim in made] == [[signal.SIGKILL], [signal.SIGTERM], []]
    assert all(victim.closed for victim in made)


async def test_a_pause_ends_by_itself_and_a_strike_on_the_same_target_waits_for_it() -> None:
    time, victim = ManualTime(), FakeVictim()
    async with ProcessKiller({"w": Target(victim)}, clock=time, sleep=time.sleep) as killer:
        await killer.run([Strike(0.0, "w", Action.PAUSE, 12.0), Strike(1.0, "w", Action.KILL)])
        assert [(s.action, s.outcome) for s in killer.log] == [
            (Action.PAUSE, Outcome.DONE),
            (Action.KILL, Outcome.DONE),
        ]
        assert killer.log[0].until - killer.log[0].at == pytest.approx(12.0)
    assert victim.signals == [signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL]


async def test_a_cancelled_run_leaves_nothing_paused() -> None:
    victim, paused = FakeVictim(), asyncio.Event()

    async def never(_: float) -> None:
        paused.set()
        await asyncio.Event().wait()

    async with ProcessKiller({"w": Target(victim)}, sleep=never) as killer:
        run = asyncio.ensure_future(killer.strike("w", Action.PAUSE, 20.0))
        async with asyncio.timeout(BOUND_SECONDS):
            await paused.wait()
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        assert killer.log[0].outcome is Outcome.CANCELLED
    assert victim.signals == [signal.SIGSTOP, signal.SIGCONT]


async def test_a_process_that_ignores_sigterm_is_killed_and_the_log_says_so() -> None:
    victim = FakeVictim(ignores=(signal.SIGTERM,))
    async with ProcessKiller({"w": Target(victim)}) as killer:
        struck = await killer.strike("w", Action.TERMINATE)
    assert struck.outcome is Outcome.KILLED_AFTER_TERMINATE
    assert victim.signals == [signal.SIGTERM, signal.SIGKILL]


async def test_a_target_that_is_gone_is_logged_as_gone() -> None:
    async with ProcessKiller({"w": Target(FakeVictim())}) as killer:
        outcomes = [(await killer.strike("w", action)).outcome for action in (Action.KILL, Action.KILL, Action.PAUSE)]
    assert outcomes == [Outcome.DONE, Outcome.GONE, Outcome.GONE]


async def test_a_process_that_died_by_itself_is_started_again_and_the_log_says_it_was_gone() -> None:
    made = [FakeVictim(ended=True)]
    async with ProcessKiller({"w": Target(made[0], restarts(made))}) as killer:
        assert (await killer.strike("w", Action.PAUSE)).outcome is Outcome.GONE
        assert (await killer.strike("w", Action.KILL)).outcome is Outcome.DONE
    assert made[1].signals == [signal.SIGKILL]


async def test_a_failed_restart_is_logged() -> None:
    async def restart() -> FakeVictim:
        raise RuntimeError("the port is taken")

    async with ProcessKiller({"w": Target(FakeVictim(), restart)}) as killer:
        assert (await killer.strike("w", Action.KILL)).outcome is Outcome.NOT_RESTARTED


async def test_an_unknown_name_is_an_error() -> None:
    async with ProcessKiller({}) as killer:
        with pytest.raises(KeyError):
            await killer.strike("somebody", Action.KILL)


async def start_heedless() -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", HEEDLESS, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(BOUND_SECONDS):
        await process.stdout.readline()
    return process


async def test_a_real_process_is_paused_ended_and_started_again() -> None:
    made = [await start_heedless()]

    async def restart() -> asyncio.subprocess.Process:
        made.append(await start_heedless())
        return made[-1]

    async with (
        asyncio.timeout(BOUND_SECONDS),
        ProcessKiller({"child": Target(made[0], restart)}, exit_seconds=0.05) as killer,
    ):
        assert (await killer.strike("child", Action.PAUSE)).outcome is Outcome.DONE
        assert (await killer.strike("child", Action.TERMINATE)).outcome is Outcome.KILLED_AFTER_TERMINATE
        assert (await killer.strike("child", Action.KILL)).outcome is Outcome.DONE
        assert [await process.wait() for process in made[:2]] == [-signal.SIGKILL] * 2
        made[2].kill()
        await made[2].wait()


async def test_a_pinned_process_that_was_reaped_gets_no_signal_under_its_number() -> None:
    process = await start_heedless()
    pinned = PinnedProcess(process.pid)
    process.kill()
    await process.wait()
    with pytest.raises(ProcessLookupError):
        pinned.send(signal.SIGKILL)
    assert await pinned.wait_exit(BOUND_SECONDS)
    pinned.close()
    with pytest.raises(ProcessLookupError):
        pinned.send(signal.SIGKILL)


@pytest.mark.parametrize("pid", [0, 1, -1])
def test_groups_and_init_are_no_targets(pid: int) -> None:
    with pytest.raises(ValueError, match="no target"):
        PinnedProcess(pid)
