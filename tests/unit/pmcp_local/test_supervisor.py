"""The supervisor's rules, on small processes of no other purpose."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pmcp_local.part import NotReady, Part, StackError
from pmcp_local.ports import find_free
from pmcp_local.supervisor import Limits, Report, Supervisor, order_by_need

WAITS = "import signal; signal.pause()"


async def _ready() -> None:
    return None


def part(name: str, program: str = WAITS, **fields: Any) -> Part:
    return Part(name, [sys.executable, "-c", program], "nowhere", **{"check_ready": _ready, **fields})


@dataclass
class Told:
    ready: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add_ready(self, part: Part, _seconds: float) -> None:
        self.ready.append(part.name)

    def add_trouble(self, sentence: str) -> None:
        self.trouble.append(sentence)
        self.changed.set()

    async def until(self, text: str) -> None:
        async with asyncio.timeout(5.0):
            while not any(text in sentence for sentence in self.trouble):
                await self.changed.wait()
                self.changed.clear()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def supervise(tmp_path: Path, told: Told) -> Callable[..., Supervisor]:
    def make(*parts: Part, start: float = 5.0, restarts: int = 2) -> Supervisor:
        report = Report(told.add_ready, told.add_trouble)
        return Supervisor(parts, tmp_path, Limits(start, 2.0, restarts, 100_000), report)

    return make


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_parts_start_after_what_they_need_and_the_body_s_result_is_the_end(
    supervise: Callable[..., Supervisor], told: Told
) -> None:
    supervisor = supervise(part("last", after=["middle"]), part("middle", after=["first"]), part("first"))
    pids: list[int] = []

    async def body() -> int:
        pids.extend(supervisor.pids.values())
        return 7

    assert await supervisor.run(body) == 7
    assert told.ready == ["first", "middle", "last"]
    assert len(pids) == 3
    assert all(map(gone, pids))


async def test_a_part_that_dies_at_its_start_is_named_with_its_last_words(
    supervise: Callable[..., Supervisor], tmp_path: Path
) -> None:
    async def never() -> None:
        raise NotReady("not yet")

    bad = part("bad", "import sys; print('No space left on device'); sys.exit(3)", check_ready=never)
    supervisor = supervise(part("good"), bad)
    with pytest.raises(StackError) as caught:
        await supervisor.run(_unreached)
    assert str(caught.value).splitlines() == [
        f"bad stopped while starting: the disk is full. Its log is {tmp_path / 'bad.log'}, which ends with:",
        "    No space left on device",
    ]
    assert not supervisor.pids


async def _for_ever() -> int:
    forever: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    return await forever


async def _unreached() -> int:
    raise AssertionError("the body must not run")


async def test_a_part_that_never_gets_ready_is_named(supervise: Callable[..., Supervisor]) -> None:
    async def never() -> None:
        raise NotReady("not yet")

    supervisor = supervise(part("slow", check_ready=never), start=0.1)
    with pytest.raises(StackError, match=r"slow was not ready after 0\.1 s \(not yet\); its log is"):
        await supervisor.run(_unreached)
    assert not supervisor.pids


async def test_a_program_that_is_not_there_is_one_sentence(supervise: Callable[..., Supervisor]) -> None:
    missing = Part("missing", ["/nowhere/at-all"], "nowhere", check_ready=_ready)
    with pytest.raises(StackError, match=r"missing cannot be started: No such file or directory\."):
        await supervise(missing).run(_unreached)


async def test_all_taken_ports_are_told_at_once(
    supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pmcp_local.supervisor._PORT_RELEASE_SECONDS", 0.0)
    one, two = find_free(2)
    servers = [await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", port) for port in (one, two)]
    parts = [
        part(name, port=("127.0.0.1", port), port_setting=f"PMCP_{name.upper()}_PORT")
        for name, port in (("first", one), ("second", two))
    ]
    try:
        with pytest.raises(StackError) as caught:
            await supervise(*parts).run(_unreached)
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()
    assert f"port {one} of first (PMCP_FIRST_PORT), port {two} of second (PMCP_SECOND_PORT)" in str(caught.value)


async def test_a_part_that_dies_too_often_ends_the_stack(
    supervise: Callable[..., Supervisor], told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pmcp_local.supervisor._RESTART_PAUSE_SECONDS", 0.001)
    supervisor = supervise(part("good"), part("weak", "import sys; sys.exit(5)"), restarts=2)

    async def body() -> int:
        async with asyncio.timeout(5.0):
            return await _for_ever()

    # Ready counts before its death is seen, or its death before: both are a death too often in the end.
    with pytest.raises(StackError, match="weak stopped"):
        await supervisor.run(body)
    assert not supervisor.pids


async def test_a_part_that_died_is_back_with_a_new_process(
    supervise: Callable[..., Supervisor], told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pmcp_local.supervisor._RESTART_PAUSE_SECONDS", 0.001)
    supervisor = supervise(part("mortal"))

    async def body() -> int:
        before = supervisor.pids["mortal"]
        os.kill(before, signal.SIGKILL)
        await told.until("mortal is back.")
        return int(supervisor.pids["mortal"] != before)

    assert await supervisor.run(body) == 1
    assert "mortal stopped by itself: ended by SIGKILL." in told.trouble[0]
    assert "Starting it again (1 of 2)." in told.trouble[0]


async def test_an_interrupt_ends_the_run_and_every_part(supervise: Callable[..., Supervisor]) -> None:
    pids: list[int] = []

    async def work() -> int:
        supervisor = supervise(part("one"), part("two"))

        async def body() -> int:
            pids.extend(supervisor.pids.values())
            supervisor.interrupt()
            return await _for_ever()

        return await supervisor.run(body)

    task = asyncio.create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5.0)
    assert len(pids) == 2
    assert all(map(gone, pids))


def test_parts_that_wait_for_each_other_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="wait for each other: one, two"):
        order_by_need([part("one", after=["two"]), part("two", after=["one"])])
