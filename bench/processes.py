"""Child processes of a run: started, waited for, measured from /proc, ended.

Above it: `bench.__main__` and the scenarios. Below it: the operating system (Linux).
Rule: it ends only what it started, by id, and reads CPU and memory of a process together with all its descendants.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
STOP_SECONDS = 5.0

Probe = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class StatLine:
    """What we read of one /proc/PID/stat."""

    pid: int
    parent: int
    cpu_seconds: float
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU since a process was born and memory now, summed over its descendants."""

    cpu_seconds: float
    rss_mb: float


class Crashed(RuntimeError):
    """A started process ended or did not become ready; the text says which and why."""


def parse_stat(text: str) -> StatLine:
    """Parses /proc/PID/stat; the command name in it may hold spaces and parentheses."""
    before, _, after = text.rpartition(")")
    values = after.split()
    # Field numbers of proc(5), less three: 4 ppid, 14 utime, 15 stime, 16 and 17 those of waited-for children, 24 rss.
    cpu = sum(int(values[index]) for index in (11, 12, 13, 14)) / TICKS_PER_SECOND
    return StatLine(int(before.split(" ", 1)[0]), int(values[1]), cpu, int(values[21]) * PAGE_BYTES / 1e6)


def read_all(proc: Path = PROC) -> dict[int, StatLine]:
    found: dict[int, StatLine] = {}
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            line = parse_stat((entry / "stat").read_text())
        except (OSError, ValueError, IndexError):
            continue  # it ended while we looked
        found[line.pid] = line
    return found


def descendants(pid: int, table: Mapping[int, StatLine]) -> Iterator[StatLine]:
    """The process and everything below it, if it lives."""
    if pid in table:
        yield table[pid]
    for line in table.values():
        if line.parent == pid:
            yield from descendants(line.pid, table)


def usage_by_name(pids: Mapping[str, Sequence[int]]) -> dict[str, Usage]:
    table = read_all()
    return {name: usage_of(roots, table) for name, roots in pids.items()}


def usage_of(roots: Sequence[int], table: Mapping[int, StatLine]) -> Usage:
    lines = {line.pid: line for root in roots for line in descendants(root, table)}
    return Usage(sum(line.cpu_seconds for line in lines.values()), sum(line.rss_mb for line in lines.values()))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Child:
    name: str
    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        return self.process.pid

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


class Family:
    """The children of one run; leaving the block ends them, youngest first."""

    def __init__(self, log_directory: Path) -> None:
        self._logs = log_directory
        self._children: list[Child] = []

    async def __aenter__(self) -> "Family":
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._children:
            await self._children.pop().stop()

    async def start(self, name: str, *command: str, output: int | None = None) -> Child:
        """`output` may be `subprocess.PIPE`; otherwise everything goes to the log."""
        # A session of their own: the terminal's Ctrl-C reaches only the run, which ends them in order.
        with (self._logs / f"{name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command, stdout=output or log, stderr=log, start_new_session=True
            )
        child = Child(name, process)
        self._children.append(child)
        return child

    async def start_python(self, name: str, module: str, *arguments: str, output: int | None = None) -> Child:
        return await self.start(name, sys.executable, "-m", module, *arguments, output=output)

    async def end(self, child: Child) -> None:
        self._children.remove(child)
        await child.stop()

    def log_of(self, child: Child) -> Path:
        return self._logs / f"{child.name}.log"

    async def wait_for_http(self, child: Child, url: str, timeout_seconds: float = 20.0) -> None:
        """Returns when the URL answers 200. Raises `Crashed`."""
        async with aiohttp.ClientSession() as client:
            await self._poll(child, lambda: answers(client, url), timeout_seconds)

    async def wait_for_port(self, child: Child, port: int, timeout_seconds: float = 20.0) -> None:
        await self._poll(child, lambda: listens(port), timeout_seconds)

    async def _poll(self, child: Child, probe: Probe, timeout_seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while not await probe():
            if child.process.returncode is not None:
                raise Crashed(f"{child.name} ended with {child.process.returncode}; see {self.log_of(child)}")
            if asyncio.get_running_loop().time() > deadline:
                raise Crashed(f"{child.name} is not ready after {timeout_seconds:.0f} s; see {self.log_of(child)}")
            await asyncio.sleep(0.05)


async def answers(client: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with client.get(url, timeout=aiohttp.ClientTimeout(total=2)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
