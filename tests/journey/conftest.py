"""The whole stack as processes: two gateways, two workers, real PostgreSQL and Valkey, and a scripted model server.

Started once per run in a thread with a loop of its own, so that each test keeps its own loop.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

import pmcp_client
from pmcp_common.testing.fake_model import FakeModelServer
from pmcp_common.testing.fake_model_script import Script
from pmcp_local import ports
from pmcp_local.model_choice import ModelChoice
from pmcp_local.running import RunningStack, running_stack
from pmcp_local.settings import default_ports, read_settings
from pmcp_local.stack import DATABASE
from pmcp_local.supervisor import Report

T = TypeVar("T")
START_SECONDS = 90.0
REPLICAS = 4
PORTS = range(22_000, 32_000)
"""Others than the stack of `tests/faults` looks at, which starts at the same time."""
DEATHS = 100
"""Of one part within a minute: tests kill the same one again and again."""
MODEL = "llama3.1:8b"


@dataclass
class World:
    """The running stack, its model server, and a way to run something on their loop."""

    stack: RunningStack
    model: FakeModelServer
    call: Callable[[Callable[[], Any]], Any]
    dsn: str
    """Of the stack's database, for what no client can bring about: time that has passed."""

    @property
    def gateways(self) -> tuple[str, ...]:
        return self.stack.gateway_urls

    def script(self, script: Script) -> None:
        """What the model server does from now on."""

        def change() -> None:
            self.model.script = script

        self.call(change)

    def prompts(self) -> list[str]:
        """Every prompt the model server was sent, as text, oldest first."""
        prompts: list[str] = self.call(lambda: [str(request.messages) for request in self.model.seen.requests])
        return prompts


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="stack", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout_seconds: float = START_SECONDS) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_seconds)

    def call(self, function: Callable[[], T]) -> T:
        async def run() -> T:
            return function()

        return self.run(run(), 5.0)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5.0)
        self.loop.close()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("stack")
    loop = Loop()
    ready: asyncio.Future[World] = loop.call(lambda: loop.loop.create_future())
    release = loop.call(asyncio.Event)
    running = asyncio.run_coroutine_threadsafe(_hold(directory, loop, ready, release), loop.loop)
    try:
        yield loop.run(_first(ready, running))
    finally:
        loop.loop.call_soon_threadsafe(release.set)
        running.result(START_SECONDS)
        loop.close()


async def _first(ready: asyncio.Future[World], running: Any) -> World:
    """The world once it stands, or the reason why it does not."""
    await asyncio.wait({ready, asyncio.wrap_future(running)}, return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        running.result()
    return ready.result()


async def _hold(directory: Path, loop: Loop, ready: asyncio.Future[World], release: asyncio.Event) -> None:
    names = default_ports()
    free = dict(zip(names, ports.find_ranges(len(names), REPLICAS, PORTS), strict=True))
    settings = read_settings({"data_dir": directory, "worker_max_jobs": 32, "max_restarts": DEATHS, **free})
    report = Report(ready=lambda part, seconds: None, trouble=lambda text: None)
    async with FakeModelServer(quick()) as model:
        choice = ModelChoice("ollama", model.url, MODEL, embedded=False, because="the tests say so")
        async with running_stack(settings, choice, report, gateways=2, workers=2) as stack:
            dsn = f"postgresql://postgres@127.0.0.1:{settings.postgres_port}/{DATABASE}"
            ready.set_result(World(stack, model, loop.call, dsn))
            await release.wait()


def quick(**fields: Any) -> Script:
    return Script(**({"ttft_ms": 5, "gap_ms": 2, "tokens": 12} | fields))


@pytest.fixture
def stack(world: World) -> Iterator[World]:
    """The world with a quick, well-behaved model; a test may change that."""
    world.script(quick())
    yield world
    world.script(quick())


@pytest.fixture
async def aria(stack: World) -> AsyncIterator[pmcp_client.Client]:
    """A new player on the first gateway, talking to Aria."""
    async with pmcp_client.connect(stack.gateways[0], player_id=new_player()) as client:
        await client.call("persona.switch", {"persona_id": "aria"})
        yield client


def new_player() -> str:
    return f"player-{uuid.uuid4().hex[:12]}"
