"""One child process: started so that it cannot outlive us, ended in bounded time.

Each child leads its own session, so a Ctrl-C at the terminal reaches only us and we decide the order of the
ends. On Linux the kernel signals it when we die without a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pmcp_local import part_log
from pmcp_local.unprivileged import Account, child_setup

_LAST_RESORT_SECONDS = 5.0  # a killed process that does not go: it hangs in the kernel


@dataclass(frozen=True, slots=True)
class Launch:
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    log_max_bytes: int
    account: Account | None = None
    death_signal: int = signal.SIGKILL


class Child:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, launch: Launch) -> Child:
        log = part_log.open_for_appending(launch.log, launch.log_max_bytes)
        try:
            process = await asyncio.create_subprocess_exec(
                *launch.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(launch.environment),
                start_new_session=True,
                preexec_fn=child_setup(launch.account, launch.death_signal),
            )
        finally:
            os.close(log)
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Negative: the signal that ended it. None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        return await self._process.wait()

    def send(self, signal_number: int) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal_number)

    def kill_group(self) -> None:
        """The process and whatever it started in its session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def stop(self, stop_signal: int, grace_seconds: float) -> bool:
        """Ask, wait, kill. False when it had to be killed."""
        self.send(stop_signal)
        in_time = await self._gone_within(grace_seconds)
        self.kill_group()
        if not in_time:
            await self._gone_within(_LAST_RESORT_SECONDS)
        return in_time

    async def _gone_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            return False
        return True


async def run_to_end(launch: Launch, grace_seconds: float = 3.0) -> int:
    """Exit code of a command that ends by itself. Cancelled, it takes the command down first."""
    child = await Child.start(launch)
    try:
        return await child.wait()
    finally:
        if child.exit_code is None:
            await child.stop(signal.SIGTERM, grace_seconds)


def describe_exit(code: int) -> str:
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"exit code {code}"
