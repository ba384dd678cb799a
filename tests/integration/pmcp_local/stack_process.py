"""A stack as a process of its own, and a way to see every process it left behind."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import sys
import termios
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from pmcp_common.testing.waiting import until
from pmcp_local.ports import find_free
from pmcp_local.settings import inherited_environment

WAIT_SECONDS = 5.0
CTRL_C = b"\x03"
START_SECONDS = 30.0  # a first start makes a database; the machine may be busy


async def eventually(condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> bool:
    """Whether it came true in time."""
    try:
        await until(condition, seconds)
    except TimeoutError:
        return False
    return True


def _take_the_terminal() -> None:
    """In the child: lead a session whose terminal is our standard input, so that Ctrl-C comes as a signal."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """The person's side of a pseudo terminal."""

    def __init__(self, descriptor: int, process: asyncio.subprocess.Process) -> None:
        self._descriptor = descriptor
        self._process = process
        self._changed = asyncio.Event()
        self.said = ""
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def _read(self) -> None:
        try:
            piece = os.read(self._descriptor, 65536)
        except OSError:  # nobody has the other side any more
            piece = b""
        if not piece:
            self.close()
        self.said += piece.decode(errors="replace")
        self._changed.set()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)

    def press(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    async def read_text(self, text: str) -> None:
        async with asyncio.timeout(START_SECONDS):
            while text not in self.said:
                self._changed.clear()
                await self._changed.wait()

    async def ended(self) -> int:
        async with asyncio.timeout(2 * WAIT_SECONDS):
            return await self._process.wait()


class StackProcess:
    """`servers_only` with ports and a data directory of its own; its processes carry a mark in their environment."""

    def __init__(self, data_directory: Path, **settings: str) -> None:
        self.data_directory = data_directory
        self.mark = f"PMCP_TEST_MARK={uuid.uuid4().hex}"
        self.postgres_port, self.valkey_port, self.model_port = find_free(3)
        name, _, value = self.mark.partition("=")
        self._environment = {
            **inherited_environment(),
            name: value,
            "PMCP_DATA_DIR": str(data_directory),
            "PMCP_POSTGRES_PORT": str(self.postgres_port),
            "PMCP_VALKEY_PORT": str(self.valkey_port),
            "PMCP_MODEL_PORT": str(self.model_port),
            # Most tests are about the supervisor: a model somewhere else saves its start.
            "PMCP_MODEL_API": "openai",
            "PMCP_MODEL_URL": "http://127.0.0.1:9",
            **settings,
        }
        self.output: list[str] = []
        self.process: asyncio.subprocess.Process

    async def start(self, *command: str) -> None:
        """`python COMMAND…`; by default the servers without our services."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(command or (str(Path(__file__).with_name("servers_only.py")),)),
            env=self._environment,
            stdin=asyncio.subprocess.PIPE if command else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def start_up(self) -> None:
        await self.start()
        await self.read_until("everything is up")

    async def read_until(self, text: str) -> str:
        """The first line with the text in it."""
        assert self.process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            while line := (await self.process.stdout.readline()).decode():
                self.output.append(line)
                if text in line:
                    return line
        raise AssertionError(f"{text!r} never came:\n{''.join(self.output)}")

    async def read_text(self, text: str) -> None:
        """Until the text was said, at the end of a line or in the middle of one."""
        assert self.process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            while text not in self.said():
                piece = await self.process.stdout.read(4096)
                if not piece:
                    raise AssertionError(f"{text!r} never came:\n{self.said()}")
                self.output.append(piece.decode(errors="replace"))

    @asynccontextmanager
    async def at_a_terminal(self, *command: str) -> AsyncIterator[Terminal]:
        """`python COMMAND…` as a person runs it: in the foreground of a terminal of its own."""
        ours, theirs = pty.openpty()
        try:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                env={**self._environment, "TERM": "dumb"},
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                preexec_fn=_take_the_terminal,
            )
            os.close(theirs)
            terminal = Terminal(ours, self.process)
            try:
                yield terminal
            finally:
                terminal.close()
        finally:
            os.close(ours)

    def interrupt(self, number: int = signal.SIGINT) -> None:
        self.process.send_signal(number)

    async def ended(self, seconds: float = 10.0) -> int:
        """Exit code; everything said is in `output` then."""
        assert self.process.stdout is not None
        async with asyncio.timeout(seconds):
            self.output.append((await self.process.stdout.read()).decode())
            return await self.process.wait()

    def said(self) -> str:
        return "".join(self.output)

    def living(self) -> dict[int, str]:
        """Every process of this stack that is not a zombie: pid → command line."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z" and self._owns(entry):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def _owns(self, entry: Path) -> bool:
        """By its output (our log files) or its environment. A server that shows a title in the process list has
        written that over its environment."""
        if (entry / "fd" / "1").readlink().is_relative_to(self.data_directory):
            return True
        return self.mark.encode() in (entry / "environ").read_bytes()

    async def left_nothing(self) -> bool:
        return await eventually(lambda: not self.living())


NewStack = Callable[..., StackProcess]
