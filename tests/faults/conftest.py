"""One stack behind fault proxies for all fault tests, and for each test a history that must be without a violation.

The stack, the proxies and the tests share one event loop for the whole run. What the tests measure is printed at the
end, and written to `--fault-figures`; `--fault-size long` makes each as large as the design asks for.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Generator, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from bench.soak import measured
from bench.soak.fault_stack import FaultStack, fault_stack
from bench.soak.figures import Cost, Course, costs, course_of
from bench.soak.harvest import Harvest
from bench.soak.hazards import Hazards
from bench.soak.holdings import verdict
from bench.soak.joining import player
from bench.soak.measured import Findings, Measured
from bench.soak.player import Player
from pmcp_common.testing.fake_model_script import Script
from pmcp_common.testing.history import Recorder, read_history
from pmcp_common.testing.history_checker import Report
from tests.faults.isolation import Isolated, run_isolated

SEED = 5
SHORT_FORM_SECONDS, BUSY_SECONDS = 240.0, 90.0
"""So long the short form may take, and what other work on the machine may add: in `make test` that is as much again."""
FIRST_TOKEN_SECONDS, IDLE_SECONDS, TOTAL_SECONDS = 3.0, 2.0, 4.0
"""The model's time-outs in these tests: the shipped ones are 20 s, 15 s and 240 s."""
ISOLATED_TOTAL_SECONDS = 60.0
"""In a network of its own: replies there outlast a heartbeat."""
SHORT_HEARTBEAT_SECONDS = 2.0
"""Of the short form, in a network of its own: the shipped one is 12 s."""
ISOLATED = Path(__file__).parent / "isolated"
ISOLATED_SECONDS = 180.0, 600.0
SHORT_SEND_SECONDS = 4.0
"""Of the short form: so long a frame may wait for a client that does not read; shipped are 8 s."""

T = TypeVar("T")


@dataclass
class Book:
    """What this run measured so far."""

    measured: list[Measured] = field(default_factory=list)
    course: Course = field(default_factory=Course)
    costs: list[Cost] = field(default_factory=list)
    """Of other runs."""
    streams: int = 0
    violations: int = 0
    began_at: float | None = None
    seconds: float = 0.0
    """From the first of these tests, with the start of the stack, to the end of the last one."""

    def findings(self) -> Findings:
        return Findings(
            tuple(measured.merged(self.measured)), (*costs(self.course), *self.costs), self.streams, self.violations
        )

    def add(self, other: Findings) -> None:
        self.measured += other.measured
        self.costs += other.costs
        self.streams += other.streams
        self.violations += other.violations

    def judged(self, report: Report, course: Course) -> None:
        self.streams += report.summary.streams
        self.violations += len(report.violations)
        self.course.faults += course.faults
        self.course.waits += course.waits


BOOK = pytest.StashKey[Book]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[BOOK] = Book()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What needs a network of its own is started in one, by `isolated_run`."""
    return True if collection_path == ISOLATED and not config.getoption("--isolated") else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Called for the tests beneath this folder alone."""
    book = item.config.stash[BOOK]
    if book.began_at is None:
        book.began_at = time.monotonic()
    try:
        return (yield)
    finally:
        book.seconds = time.monotonic() - book.began_at


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In the short form too long a run is a failure: everybody waits for it at each change."""
    if _takes_too_long(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _takes_too_long(config: pytest.Config) -> bool:
    is_short = config.getoption("--fault-size") == "short" and not config.getoption("--isolated")
    return bool(is_short and config.stash[BOOK].seconds > SHORT_FORM_SECONDS + BUSY_SECONDS)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    book = config.stash[BOOK]
    if not book.measured:
        return
    terminalreporter.section(f"measured: {book.violations} violations in {book.streams} streams")
    for line in measured.lines(book.measured):
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"all of it: {book.seconds:.0f} s")
    if _takes_too_long(config):
        promised = f"{SHORT_FORM_SECONDS:.0f} s, and {BUSY_SECONDS:.0f} s for a busy machine"
        terminalreporter.write_line(f"FAILED: the short form may take {promised}", red=True)
    path = config.getoption("--fault-figures")
    if path is not None:
        measured.write(path, book.findings())


@dataclass(frozen=True, slots=True)
class Size:
    is_long: bool

    def of(self, short: T, long: T) -> T:
        return long if self.is_long else short


@pytest.fixture(scope="session")
def size(pytestconfig: pytest.Config) -> Size:
    return Size(pytestconfig.getoption("--fault-size") == "long")


@pytest.fixture(scope="session")
def book(pytestconfig: pytest.Config) -> Book:
    return pytestconfig.stash[BOOK]


def quick(**fields: Any) -> Script:
    """A well-behaved model: 24 tokens in about half a second."""
    return Script(**({"ttft_ms": 20, "gap_ms": 20, "tokens": 24, "record_limit": 20_000} | fields))


@pytest.fixture(scope="session")
def stack_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def faulty(stack_directory: Path, size: Size, pytestconfig: pytest.Config) -> AsyncIterator[FaultStack]:
    overrides = {
        "PMCP_MODEL_FIRST_TOKEN_SECONDS": str(FIRST_TOKEN_SECONDS),
        "PMCP_MODEL_IDLE_SECONDS": str(IDLE_SECONDS),
        "PMCP_MODEL_TOTAL_SECONDS": str(TOTAL_SECONDS),
    }
    if pytestconfig.getoption("--isolated"):
        overrides["PMCP_MODEL_TOTAL_SECONDS"] = str(ISOLATED_TOTAL_SECONDS)
    if not size.is_long:
        overrides["PMCP_GATEWAY_SEND_SECONDS"] = str(SHORT_SEND_SECONDS)
    if pytestconfig.getoption("--isolated") and not size.is_long:
        overrides["PMCP_GATEWAY_HEARTBEAT_SECONDS"] = str(SHORT_HEARTBEAT_SECONDS)
    async with fault_stack(stack_directory, quick(), seed=SEED, overrides=overrides) as stack:
        yield stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def isolated_run(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, size: Size
) -> AsyncIterator[asyncio.Task[Isolated]]:
    """What needs a network of its own, begun with the first test that asks for this."""
    directory = tmp_path_factory.mktemp("worlds")
    run = run_isolated(pytestconfig.rootpath, directory, size.of("short", "long"), size.of(*ISOLATED_SECONDS))
    task = asyncio.create_task(run)
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@dataclass
class Trial:
    """One test on the stack: its players, its history, and at the end the checker's word."""

    stack: FaultStack
    recorder: Recorder
    path: Path
    name: str
    held: AsyncExitStack
    hazards: Hazards
    size: Size
    book: Book
    here: list[Player] = field(default_factory=list)

    def script(self, **fields: Any) -> None:
        self.stack.model.script = quick(**fields)

    async def player(self, number: int = 0, urls: Sequence[str] | None = None, **options: Any) -> Player:
        name = f"{self.name}-{number}"
        one = await self.held.enter_async_context(player(self.recorder, urls or self.stack.urls, name, **options))
        self.here.append(one)
        return one

    async def players(self, count: int, **options: Any) -> list[Player]:
        """Added to those that are here."""
        first = len(self.here)
        return [await self.player(first + number, **options) for number in range(count)]

    def measured(
        self,
        fault: str,
        what: str,
        samples: Iterable[float],
        bound: float | None = None,
        *,
        share: float = 1.0,
        noise: float = 0.0,
        unit: str = "s",
    ) -> None:
        """Notes the samples and holds them against the bound; `noise` is what a busy machine may add to one of
        the few of the short form."""
        one = Measured(fault, what, tuple(samples), unit, bound, share)
        assert one.samples, f"{fault} {what}: nothing was measured"
        self.book.measured.append(one)
        if bound is not None:
            allowed = bound + (0.0 if self.size.is_long else noise)
            assert one.decisive <= allowed, f"{fault} {what}: {one.decisive:.3f} {unit}, allowed {allowed}"

    async def verdict(self) -> Report:
        return await verdict(self.stack, Harvest(self.recorder, self.hazards.lives), self.path)


@pytest_asyncio.fixture(loop_scope="session")
async def trial(
    faulty: FaultStack, size: Size, book: Book, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Trial]:
    """At its end the stack is healed, and a history with a violation fails the test."""
    faulty.model.script = quick()
    path = tmp_path / "history.jsonl"
    name = f"{request.node.name.partition('[')[0][5:25]}-{uuid.uuid4().hex[:6]}"
    with Recorder(path) as recorder:
        async with AsyncExitStack() as held:
            hazards = Hazards(faulty, recorder, random.Random(SEED))
            one = Trial(faulty, recorder, path, name, held, hazards, size, book)
            try:
                yield one
            finally:
                await faulty.heal()
        faulty.model.script = quick()
        report = await one.verdict()
    book.judged(report, course_of(read_history(path)))
    broken = "\n".join(f"{v.rule.value}: {v.stream} {v.evidence}" for v in report.violations)
    assert not report.violations, f"{report.summary.text()}\n{broken}"
