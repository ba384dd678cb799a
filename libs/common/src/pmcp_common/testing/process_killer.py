"""Kills, ends and pauses processes on a schedule made from a seed, and keeps a log of what was done when.

Above it: fault tests and the soak. Below it: the kernel, through `pinned_process`. Rule: it strikes only processes
it was given, by pidfd, never by name; a paused process is always woken again, also when the run is cancelled.
"""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pmcp_common.clock import Clock, SystemClock
from pmcp_common.testing.pinned_process import GivenProcess, PinnedProcess

MAX_STRIKES = 10_000
MAX_LOG = 100_000
EXIT_SECONDS = 10.0
"""For SIGTERM: what a drain may take. Then SIGKILL, and the log says so."""


class Action(StrEnum):
    KILL = "kill"
    TERMINATE = "terminate"
    PAUSE = "pause"


class Outcome(StrEnum):
    DONE = "done"
    KILLED_AFTER_TERMINATE = "killed_after_terminate"
    """It did not end within `exit_seconds`: a fault of the process, not of the killer."""
    GONE = "gone"
    """It was not there any more."""
    NOT_RESTARTED = "not_restarted"
    """The restart callback failed; later strikes find it gone."""
    CANCELLED = "cancelled"


class Victim(Protocol):
    """A process that can be struck. `send` raises ProcessLookupError when it has ended."""

    def send(self, number: int) -> None: ...

    async def wait_exit(self, timeout_seconds: float) -> bool:
        """False: still there."""
        ...

    def close(self) -> None: ...


Restart = Callable[[], Awaitable[GivenProcess | Victim | None]]
"""Starts the process again (or waits until a supervisor has) and returns the new one; None: stays gone."""


@dataclass(frozen=True, slots=True)
class Target:
    process: GivenProcess | Victim
    restart: Restart | None = None


@dataclass(frozen=True, slots=True)
class Strike:
    at: float
    """Seconds after the start of the run."""
    target: str
    action: Action
    pause_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Struck:
    """What was done. Times are monotonic seconds: `at` the signal, `until` awake, dead, or running again."""

    at: float
    until: float
    target: str
    action: Action
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that decides a run: print it, and the same one makes the same strikes."""

    seed: int
    targets: tuple[str, ...]
    duration_seconds: float
    mean_gap_seconds: float
    weights: tuple[tuple[Action, int], ...] = ((Action.KILL, 2), (Action.TERMINATE, 1), (Action.PAUSE, 1))
    pause_seconds: tuple[float, float] = (1.0, 20.0)

    def __post_init__(self) -> None:
        if not self.targets or self.mean_gap_seconds <= 0 or self.duration_seconds <= 0:
            raise ValueError("a schedule needs targets, a duration and a mean gap above 0")
        if self.duration_seconds / self.mean_gap_seconds > MAX_STRIKES / 2:
            raise ValueError(f"a schedule holds at most {MAX_STRIKES} strikes")

    def strikes(self) -> tuple[Strike, ...]:
        """Exponential gaps: faults come in bursts too, as they do in life."""
        return tuple(self._draw())[:MAX_STRIKES]

    def _draw(self) -> Iterator[Strike]:
        chance = random.Random(self.seed)
        actions, weights = zip(*self.weights, strict=True)
        at = chance.expovariate(1 / self.mean_gap_seconds)
        while at < self.duration_seconds:
            target = chance.choice(self.targets)
            action = chance.choices(actions, weights)[0]
            pause = chance.uniform(*self.pause_seconds)  # drawn always: the rest must not depend on the action
            yield Strike(at, target, action, pause if action is Action.PAUSE else 0.0)
            at += chance.expovariate(1 / self.mean_gap_seconds)


class ProcessKiller:
    """As a context manager, so that the handles of the processes are given back; the processes are not touched then."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        *,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        exit_seconds: float = EXIT_SECONDS,
        on_struck: Callable[[Struck], None] | None = None,
    ) -> None:
        self.log: deque[Struck] = deque(maxlen=MAX_LOG)
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._exit_seconds = exit_seconds
        self._on_struck = on_struck
        self._restarts = {name: target.restart for name, target in targets.items()}
        self._victims: dict[str, Victim] = {}
        self._turns = {name: asyncio.Lock() for name in targets}
        for name, target in targets.items():
            self._victims[name] = _victim(target.process)

    async def __aenter__(self) -> ProcessKiller:
        return self

    async def __aexit__(self, *_: object) -> None:
        for victim in self._victims.values():
            victim.close()
        self._victims.clear()

    async def run(self, strikes: Sequence[Strike]) -> None:
        """All strikes, each at its time; returns when the last one is over. One target is struck by one at a time."""
        start = self._clock.monotonic()
        async with asyncio.TaskGroup() as group:
            for strike in sorted(strikes, key=lambda strike: strike.at):
                remaining = start + strike.at - self._clock.monotonic()
                if remaining > 0:
                    await self._sleep(remaining)
                group.create_task(self.strike(strike.target, strike.action, strike.pause_seconds))

    async def strike(self, name: str, action: Action, pause_seconds: float = 0.0) -> Struck:
        """Strikes now, or after the strike that this target is still under. Raises KeyError for an unknown name."""
        async with self._turns[name]:
            at = self._clock.monotonic()
            try:
                outcome = await self._do(name, action, pause_seconds)
            except asyncio.CancelledError:
                self._note(at, name, action, Outcome.CANCELLED)
                raise
            return self._note(at, name, action, outcome)

    async def _do(self, name: str, action: Action, pause_seconds: float) -> Outcome:
        victim = self._victims.get(name)
        if victim is None:
            return Outcome.GONE
        try:
            if action is Action.PAUSE:
                await self._pause(victim, pause_seconds)
                return Outcome.DONE
            outcome = await self._end(victim, action)
        except ProcessLookupError:
            outcome = Outcome.GONE
        return outcome if await self._replace(name, victim) else Outcome.NOT_RESTARTED

    async def _pause(self, victim: Victim, seconds: float) -> None:
        victim.send(signal.SIGSTOP)
        try:
            await self._sleep(seconds)
        finally:
            victim.send(signal.SIGCONT)

    async def _end(self, victim: Victim, action: Action) -> Outcome:
        victim.send(signal.SIGKILL if action is Action.KILL else signal.SIGTERM)
        if await victim.wait_exit(self._exit_seconds):
            return Outcome.DONE
        victim.send(signal.SIGKILL)
        await victim.wait_exit(self._exit_seconds)
        return Outcome.KILLED_AFTER_TERMINATE

    async def _replace(self, name: str, old: Victim) -> bool:
        """False: there should be a new one, and there is none."""
        del self._victims[name]
        old.close()
        restart = self._restarts[name]
        if restart is None:
            return True
        try:
            new = await restart()
        except (OSError, RuntimeError, AssertionError, TimeoutError):
            return False
        if new is None:
            return False
        self._victims[name] = _victim(new)
        return True

    def _note(self, at: float, name: str, action: Action, outcome: Outcome) -> Struck:
        struck = Struck(at, self._clock.monotonic(), name, action, outcome)
        self.log.append(struck)
        if self._on_struck is not None:
            self._on_struck(struck)
        return struck


def _victim(process: GivenProcess | Victim) -> Victim:
    return PinnedProcess(process) if isinstance(process, int | subprocess.Popen | Process) else process
