"""A stack inside another program (tests, the bench): started, ready inside the block, gone after it.

Below it: `stack`, `supervisor`. Unlike `cli` it takes no signals, holds no lock and prints nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pmcp_local.model_choice import ModelChoice
from pmcp_local.part import StackError
from pmcp_local.settings import LocalSettings, inherited_environment
from pmcp_local.stack import compose
from pmcp_local.supervisor import Limits, Report, Supervisor


@dataclass(frozen=True, slots=True)
class RunningStack:
    gateway_urls: tuple[str, ...]
    logs: Path
    supervisor: Supervisor

    @property
    def pids(self) -> dict[str, int]:
        """Living processes by part name; a restarted one has a new pid."""
        return self.supervisor.pids


@asynccontextmanager
async def running_stack(
    settings: LocalSettings,
    choice: ModelChoice,
    report: Report,
    *,
    gateways: int = 1,
    workers: int = 1,
    overrides: Mapping[str, str] | None = None,
) -> AsyncIterator[RunningStack]:
    """Raises StackError when a part does not start. A part that dies is started again, as `pmcp up` does.

    `overrides`: variables the services get instead of the stack's own.
    """
    directory = settings.data_dir.absolute()
    (directory / "logs").mkdir(parents=True, exist_ok=True)
    environment = inherited_environment()
    stack = compose(settings, directory, choice, environment, gateways=gateways, workers=workers, overrides=overrides)
    limits = Limits(
        settings.start_timeout_seconds, settings.stop_timeout_seconds, settings.max_restarts, settings.log_max_bytes
    )
    supervisor = Supervisor(stack.parts, directory / "logs", limits, report)
    ready, release = asyncio.Event(), asyncio.Event()

    async def hold() -> int:
        ready.set()
        await release.wait()
        return 0

    running = asyncio.create_task(supervisor.run(hold))
    try:
        await _until_ready(running, ready)
        yield RunningStack(stack.gateway_urls, directory / "logs", supervisor)
    finally:
        release.set()
        if running.done():
            with contextlib.suppress(asyncio.CancelledError):
                running.exception()
        else:
            await asyncio.shield(running)


async def _until_ready(running: asyncio.Task[int], ready: asyncio.Event) -> None:
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if running.done():
        running.result()
        raise StackError("The stack ended by itself.")
