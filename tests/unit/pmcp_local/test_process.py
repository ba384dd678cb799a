"""A child ends when it is told to, and never outlives us."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from pmcp_local.process import Child, Launch, describe_exit, run_to_end

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"


def launch(tmp_path: Path, program: str) -> Launch:
    return Launch([sys.executable, "-c", program], {}, tmp_path / "child.log", 100_000)


async def _until_it_says(log: Path, text: str) -> None:
    async with asyncio.timeout(5.0):
        while text not in log.read_text():  # noqa: ASYNC110, ASYNC240 - a file sends no events
            await asyncio.sleep(0.01)


async def test_a_command_s_exit_code_is_returned(tmp_path: Path) -> None:
    assert await run_to_end(launch(tmp_path, "import sys; sys.exit(4)")) == 4


async def test_a_cancelled_command_is_taken_down(tmp_path: Path) -> None:
    program = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    work = asyncio.create_task(run_to_end(launch(tmp_path, program)))
    await asyncio.sleep(0)
    async with asyncio.timeout(5.0):
        while not (tmp_path / "child.log").exists():  # noqa: ASYNC110 - a file sends no events
            await asyncio.sleep(0.01)
    await _until_it_says(tmp_path / "child.log", "\n")
    pid = int((tmp_path / "child.log").read_text())
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    child = await Child.start(launch(tmp_path, STUBBORN))
    await _until_it_says(tmp_path / "child.log", "deaf")
    assert not await child.stop(signal.SIGTERM, 0.05)
    assert child.exit_code == -signal.SIGKILL


async def test_a_child_leads_its_own_session_so_ctrl_c_is_ours(tmp_path: Path) -> None:
    child = await Child.start(launch(tmp_path, "import signal; signal.pause()"))
    assert os.getsid(child.pid) == child.pid
    assert await child.stop(signal.SIGTERM, 5.0)


def test_an_end_is_described_in_words() -> None:
    assert describe_exit(3) == "exit code 3"
    assert describe_exit(-9) == "ended by SIGKILL"
