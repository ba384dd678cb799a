"""Starts parts in order, watches them, restarts what dies, ends them all in reverse order.

Knows parts (`part`), never what they are. It owns the life of every process it starts: when `run` returns or
raises, none of them is left. Failures of the start and of a part that dies too often are StackErrors.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pmcp_local import part_log, ports
from pmcp_local.part import NotReady, Part, StackError
from pmcp_local.process import Child, Launch, describe_exit

_CHECK_SECONDS = 2.0  # one readiness check
_CHECK_PAUSE_SECONDS = 0.05
_PORT_RELEASE_SECONDS = 2.0  # children of a killed stack need a moment to let go
_RESTART_PAUSE_SECONDS = 0.5  # doubles with each restart
_LONGEST_RESTART_PAUSE_SECONDS = 8.0
_RESTART_WINDOW_SECONDS = 60.0
_LOG_CHECK_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Limits:
    start_timeout_seconds: float
    stop_timeout_seconds: float
    max_restarts: int
    log_max_bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """What the supervisor tells a person, as it happens."""

    ready: Callable[[Part, float], None]
    """Part and its start time in seconds."""
    trouble: Callable[[str], None]


class Supervisor:
    """`interrupt` ends the task it runs in; before it runs, the one it was made in."""

    def __init__(self, parts: Sequence[Part], log_directory: Path, limits: Limits, report: Report) -> None:
        self._levels = order_by_need(parts)
        self._logs = log_directory
        self._limits = limits
        self._report = report
        self._children: dict[str, Child] = {}
        self._run_began: dict[str, int] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._main = asyncio.current_task()
        self._stopping = False

    @property
    def pids(self) -> dict[str, int]:
        return {name: child.pid for name, child in self._children.items() if child.exit_code is None}

    async def run(self, body: Callable[[], Coroutine[Any, Any, int]]) -> int:
        """Start everything, then the body; its exit code. Ends early with StackError when a part is lost."""
        self._main = asyncio.current_task()
        failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            await self._start(failure)
            return await _first_of(body(), failure)
        finally:
            await self._stop()
            if not failure.cancel() and not failure.cancelled():
                failure.exception()  # seen: when the body ended at the same moment, nobody else looks

    def interrupt(self) -> None:
        """For signal handlers: the first call ends the run in order, a further one hastens the end."""
        if self._stopping or self._main is None:
            self._hasten()
        else:
            self._stopping = True
            self._main.cancel()

    async def _start(self, failure: asyncio.Future[None]) -> None:
        await self._require_ports()
        ready = {part.name: asyncio.Event() for level in self._levels for part in level}

        async def bring_up(part: Part) -> None:
            for name in part.after:
                await ready[name].wait()
            await self._launch(part, announce=True)
            ready[part.name].set()
            self._watchers.append(asyncio.create_task(self._watch(part, failure)))

        try:
            async with asyncio.TaskGroup() as group:
                for level in self._levels:
                    for part in level:
                        group.create_task(bring_up(part))
        except BaseExceptionGroup as errors:
            # One failure often draws others after it; the first is the cause.
            raise _first_failure(errors) or errors from None
        self._watchers.append(asyncio.create_task(self._keep_logs_small()))

    async def _require_ports(self) -> None:
        deadline = time.monotonic() + _PORT_RELEASE_SECONDS
        while taken := [
            part for level in self._levels for part in level if part.port is not None and not ports.is_free(*part.port)
        ]:
            if time.monotonic() > deadline:
                raise StackError(_taken_sentence(taken))
            await asyncio.sleep(_CHECK_PAUSE_SECONDS)

    async def _launch(self, part: Part, *, announce: bool) -> None:
        began = time.monotonic()
        log = self._logs / f"{part.name}.log"
        try:
            await part.prepare()
            child = await Child.start(
                Launch(
                    part.command,
                    part.environment,
                    log,
                    self._limits.log_max_bytes,
                    part.account,
                    part.death_signal,
                )
            )
        except OSError as error:
            raise StackError(f"{part.name} cannot be started: {error.strerror or error}.") from error
        self._children[part.name] = child
        await self._until_ready(part, child, log, part_log.size_of(log) if not announce else 0)
        if announce:
            self._report.ready(part, time.monotonic() - began)

    async def _until_ready(self, part: Part, child: Child, log: Path, since: int) -> None:
        why_not = ["it was never asked"]
        checking = asyncio.create_task(_check_until_ready(part, why_not))
        dying = asyncio.create_task(child.wait())
        try:
            await asyncio.wait(
                {checking, dying},
                timeout=self._limits.start_timeout_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if dying.done():
                raise StackError(self._death_sentence(part, dying.result(), log, since, "while starting"))
            if not checking.done():
                raise StackError(
                    f"{part.name} was not ready after {self._limits.start_timeout_seconds:g} s ({why_not[-1]});"
                    f" its log is {log}."
                )
            checking.result()
        finally:
            await _cancelled(checking, dying)

    async def _watch(self, part: Part, failure: asyncio.Future[None]) -> None:
        """Restart the part whenever it dies, with growing pauses, until it has died too often in a minute."""
        deaths: list[float] = []
        log = self._logs / f"{part.name}.log"
        while True:
            code = await self._children[part.name].wait()
            if self._stopping:
                return
            now = time.monotonic()
            deaths = [at for at in deaths if now - at < _RESTART_WINDOW_SECONDS] + [now]
            why = self._death_sentence(part, code, log, 0, "by itself")
            if len(deaths) > self._limits.max_restarts:
                if not failure.done():
                    failure.set_exception(StackError(f"{why}\nIt did so {len(deaths)} times in a minute."))
                return
            self._report.trouble(f"{why}\nStarting it again ({len(deaths)} of {self._limits.max_restarts}).")
            await self._restart(part, len(deaths))

    async def _restart(self, part: Part, attempt: int) -> None:
        pause = _RESTART_PAUSE_SECONDS * 2 ** (attempt - 1)
        await asyncio.sleep(min(pause, _LONGEST_RESTART_PAUSE_SECONDS))
        try:
            await self._launch(part, announce=False)
        except StackError as error:
            self._report.trouble(str(error))
            child = self._children[part.name]
            await child.stop(part.stop_signal, self._limits.stop_timeout_seconds)  # its end is the next death
        else:
            self._report.trouble(f"{part.name} is back.")

    async def _keep_logs_small(self) -> None:
        while True:
            await asyncio.sleep(_LOG_CHECK_SECONDS)
            for name in self._children:
                part_log.keep_small(self._logs / f"{name}.log", self._limits.log_max_bytes)

    async def _stop(self) -> None:
        self._stopping = True
        await _cancelled(*self._watchers)
        for level in reversed(self._levels):
            await asyncio.gather(*(self._stop_part(part) for part in level))

    async def _stop_part(self, part: Part) -> None:
        child = self._children.get(part.name)
        if child is None or child.exit_code is not None:
            return
        if not await child.stop(part.stop_signal, self._limits.stop_timeout_seconds):
            self._report.trouble(f"{part.name} did not end in time and was killed.")

    def _hasten(self) -> None:
        for level in self._levels:
            for part in level:
                if part.name in self._children:
                    self._children[part.name].send(part.hasten_signal)

    def _death_sentence(self, part: Part, code: int, log: Path, since: int, when: str) -> str:
        lines = part_log.tail(log, since)
        reason = part_log.reason_in(lines, part.reasons) or describe_exit(code)
        sentence = f"{part.name} stopped {when}: {reason}. Its log is {log}"
        words = part_log.last_words(lines)
        return "\n    ".join([f"{sentence}, which ends with:" if words else f"{sentence}.", *words])


async def _check_until_ready(part: Part, why_not: list[str]) -> None:
    """`why_not` ends with the reason of the newest failed check."""
    while True:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await part.check_ready()
        except NotReady as reason:
            why_not[:] = [str(reason)]
        except TimeoutError:
            why_not[:] = ["it does not answer"]
        except OSError as error:
            why_not[:] = [(error.strerror or str(error)).lower()]
        else:
            return
        await asyncio.sleep(_CHECK_PAUSE_SECONDS)


def order_by_need(parts: Sequence[Part]) -> list[list[Part]]:
    """Levels of parts, each needing only parts of the levels before it. ValueError for a circle or a
    stranger."""
    waiting = list(parts)
    levels: list[list[Part]] = []
    placed: set[str] = set()
    while waiting:
        level = [part for part in waiting if placed.issuperset(part.after)]
        if not level:
            raise ValueError(f"parts that wait for each other: {', '.join(part.name for part in waiting)}")
        levels.append(level)
        placed.update(part.name for part in level)
        waiting = [part for part in waiting if part.name not in placed]
    return levels


def _taken_sentence(taken: Sequence[Part]) -> str:
    clauses = []
    for part in taken:
        assert part.port is not None
        clauses.append(f"port {part.port[1]} of {part.name} ({part.port_setting})")
    verb = "is" if len(clauses) == 1 else "are"
    return (
        f"Taken by another program {verb} {', '.join(clauses)}; stop that program or choose other ports"
        " (each setting is also a flag, and --free-ports chooses for you)."
    )


async def _first_of(body: Coroutine[Any, Any, int], failure: asyncio.Future[None]) -> int:
    """The body's result, or the failure if that comes first; the body is over in either case."""
    running = asyncio.create_task(body)
    try:
        first: set[asyncio.Future[Any]] = {running, failure}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
        failure.result()
        raise AssertionError("a failure always carries an exception")
    finally:
        await _cancelled(running)


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel and wait until the tasks are over; what they raised was looked at by their owner."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _first_failure(errors: BaseExceptionGroup[BaseException]) -> StackError | None:
    for error in errors.exceptions:
        if isinstance(error, StackError):
            return error
        if isinstance(error, BaseExceptionGroup) and (nested := _first_failure(error)) is not None:
            return nested
    return None
