"""The whole stack as processes, with a fault proxy at each of its edges, and a scripted model server.

Clients reach the gateways, and services reach Redis, Postgres and the model, through proxies of this process; a part
that dies is started again by the supervisor. Above it: `hazards`, `tests/faults`. Rule: nothing is left running.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from pmcp_common.testing.fake_model import FakeModelServer
from pmcp_common.testing.fake_model_script import Script
from pmcp_common.testing.fault_proxy import FaultProxy
from pmcp_common.testing.waiting import until
from pmcp_local import ports
from pmcp_local.model_choice import ModelChoice
from pmcp_local.running import RunningStack, running_stack
from pmcp_local.settings import LocalSettings, default_ports, read_settings
from pmcp_local.stack import DATABASE
from pmcp_local.supervisor import Report

HOST = "127.0.0.1"
MODEL = "llama3.1:8b"
TENANT = "local"
MAX_RESTARTS = 10_000  # faults are the purpose here; the pause between restarts still grows to 8 s
ROOM = 4
"""Replicas of one part, at most."""
PORTS = range(12_000, 22_000)
"""Others than the stack of `tests/journey` looks at, which starts at the same time."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FaultStack:
    running: RunningStack
    model: FakeModelServer
    redis: FaultProxy
    postgres: FaultProxy
    model_door: FaultProxy
    doors: tuple[FaultProxy, ...]
    """One before each gateway."""
    settings: LocalSettings
    data: Path

    @property
    def urls(self) -> tuple[str, ...]:
        """Where clients connect."""
        return tuple(f"ws://{HOST}:{door.port}/mcp" for door in self.doors)

    @property
    def redis_url(self) -> str:
        """Past the proxy."""
        return f"redis://{HOST}:{self.settings.valkey_port}/0"

    @property
    def postgres_dsn(self) -> str:
        """Past the proxy."""
        return f"postgresql://postgres@{HOST}:{self.settings.postgres_port}/{DATABASE}"

    def parts(self, kind: str) -> list[str]:
        """Names of the living replicas: `worker`, `worker-2`."""
        return sorted(name for name in self.running.pids if name.partition("-")[0] == kind)

    def address_of(self, name: str) -> tuple[str, int]:
        """Where the part listens, past any proxy."""
        if name == "valkey":
            return HOST, self.settings.valkey_port
        if name == "postgres":
            return HOST, self.settings.postgres_port
        kind, _, number = name.partition("-")
        index = int(number or 1) - 1
        if kind == "gateway":
            return HOST, urlsplit(self.running.gateway_urls[index]).port or 0
        reserved = {getattr(self.settings, other) for other in default_ports()}
        return HOST, ports.count_up(getattr(self.settings, f"{kind}_port"), index + 1, reserved)[index]

    async def metric(self, name: str, series: str) -> float:
        """Of the part's own page, for instance `pmcp_gateway_closed_total{code="4010"}`; 0 when it is not there."""
        host, port = self.address_of(name)
        async with aiohttp.ClientSession() as http, http.get(f"http://{host}:{port}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{series} "))

    async def back(self, name: str, old_pid: int, timeout_seconds: float = 60.0) -> float:
        """Waits until another process of this name listens; returns when that was (monotonic). Raises TimeoutError."""
        await until(lambda: self.running.pids.get(name) not in (None, old_pid), timeout_seconds)
        await until(lambda: listens(self.address_of(name)), timeout_seconds)
        return time.monotonic()

    async def heal(self) -> None:
        """Every proxy behaves again; the model server's script is the caller's."""
        for proxy in (self.redis, self.postgres, self.model_door, *self.doors):
            await proxy.heal()


async def listens(address: tuple[str, int]) -> bool:
    try:
        _, writer = await asyncio.open_connection(*address)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


@asynccontextmanager
async def fault_stack(
    directory: Path,
    script: Script,
    *,
    seed: int = 0,
    gateways: int = 2,
    workers: int = 2,
    overrides: Mapping[str, str] | None = None,
    say: Say = lambda text: None,
) -> AsyncIterator[FaultStack]:
    """`overrides`: further variables for the services. Raises StackError when a part does not start."""
    directory = directory.absolute()  # noqa: ASYNC240 - once, before anything runs
    names = default_ports()
    free = dict(zip(names, ports.find_ranges(len(names), ROOM, PORTS), strict=True))
    settings = read_settings(
        {
            "data_dir": directory,
            "worker_max_jobs": 64,
            "max_restarts": MAX_RESTARTS,
            "start_timeout_seconds": 90,
            **free,
        }
    )
    report = Report(ready=lambda part, seconds: say(f"  {part.name} ready after {seconds:.1f} s"), trouble=say)
    async with AsyncExitStack() as held:
        model = await held.enter_async_context(FakeModelServer(script))

        async def proxy(port: int, number: int) -> FaultProxy:
            return await held.enter_async_context(FaultProxy(HOST, port, seed=seed + number))

        redis = await proxy(settings.valkey_port, 1)
        postgres = await proxy(settings.postgres_port, 2)
        model_door = await proxy(model.port, 3)
        choice = ModelChoice("ollama", f"http://{HOST}:{model_door.port}", MODEL, embedded=False, because="faults")
        environment = {
            "PMCP_REDIS_URL": f"redis://{HOST}:{redis.port}/0",
            "PMCP_POSTGRES_DSN": f"postgresql://postgres@{HOST}:{postgres.port}/{DATABASE}",
            **(overrides or {}),
        }
        running = await held.enter_async_context(
            running_stack(settings, choice, report, gateways=gateways, workers=workers, overrides=environment)
        )
        gateway_ports = [urlsplit(url).port or 0 for url in running.gateway_urls]
        doors = [await proxy(port, 4 + number) for number, port in enumerate(gateway_ports)]
        yield FaultStack(running, model, redis, postgres, model_door, tuple(doors), settings, directory)
