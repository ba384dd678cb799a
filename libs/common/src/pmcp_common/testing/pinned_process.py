"""A process held by a pidfd: a signal reaches the process that was given or nobody, even when its number is reused.

Above it: `process_killer`. Rule: it never reaps the process; its parent does. Linux only.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from asyncio.subprocess import Process

GivenProcess = int | subprocess.Popen[bytes] | subprocess.Popen[str] | Process
"""A pid, or what `subprocess` or `asyncio.create_subprocess_exec` returned."""


class PinnedProcess:
    """Raises ProcessLookupError when the process has already ended and was reaped."""

    def __init__(self, process: GivenProcess) -> None:
        self.pid = process if isinstance(process, int) else process.pid
        if self.pid <= 1 or self.pid == os.getpid():
            raise ValueError(f"process {self.pid} is no target")
        self._handle: int | None = os.pidfd_open(self.pid)

    def send(self, number: int) -> None:
        if self._handle is None:
            raise ProcessLookupError(self.pid)
        signal.pidfd_send_signal(self._handle, number)

    async def wait_exit(self, timeout_seconds: float) -> bool:
        """True as soon as it has ended, reaped or not."""
        if self._handle is None:
            return True
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._handle, ended.set)
        try:
            async with asyncio.timeout(timeout_seconds):
                await ended.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self._handle)
        return True

    def close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)
