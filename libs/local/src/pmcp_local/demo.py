"""The chat of `pmcp demo`: a process of its own on our terminal, so that a stuck read cannot hold us up."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Mapping, Sequence

from pmcp_local.unprivileged import child_setup

_GRACE_SECONDS = 3.0


async def run_chat(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Exit code of `pmcp chat` with these arguments. Cancelled, it ends the chat first."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pmcp_local", "chat", *arguments),
        env=dict(environment),
        preexec_fn=child_setup(None, signal.SIGTERM),
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await _gone(process)


async def _gone(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(_GRACE_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
