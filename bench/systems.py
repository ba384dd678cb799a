"""What is measured, started: the bare relay, the real stack on embedded servers, or one that already runs.

Above it: `bench.__main__`. Below it: `bench.relay`, `pmcp_local` (the same parts that `pmcp up` starts).
Rule: each is a context manager that leaves nothing running, and gives a `System`.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from unittest.mock import patch

from bench.processes import Family, free_port
from bench.scenarios import System
from pmcp_local.model_choice import ModelChoice
from pmcp_local.part import Part
from pmcp_local.running import running_stack
from pmcp_local.services import PACKAGES
from pmcp_local.settings import default_ports, read_settings
from pmcp_local.supervisor import Report
from pmcp_local.valkey import find_server, server_command

Say = Callable[[str], None]
WORKER_MAX_JOBS = 600  # above any setting's concurrent streams: the queue is not what is measured


@asynccontextmanager
async def bare_relay(directory: Path, model_url: str) -> AsyncIterator[System]:
    """Its own Valkey (without a file), worker and gateway."""
    data, redis_port, port = directory / "valkey", free_port(), free_port()
    data.mkdir(parents=True, exist_ok=True)
    redis_url = f"redis://127.0.0.1:{redis_port}/0"
    async with Family(directory) as family:
        valkey = await family.start("valkey", *server_command(find_server(), data, redis_port, durable=False))
        await family.wait_for_port(valkey, redis_port)
        to_redis = ("--redis-url", redis_url)
        worker = await family.start_python("worker", "bench.relay", "worker", *to_redis, "--model-url", model_url)
        gateway = await family.start_python("gateway", "bench.relay", "gateway", *to_redis, "--port", str(port))
        await family.wait_for_http(gateway, f"http://127.0.0.1:{port}/")
        pids = {"gateway": [gateway.pid], "worker": [worker.pid], "valkey": [valkey.pid]}
        yield System("relay", f"ws://127.0.0.1:{port}/mcp", lambda: pids)


@asynccontextmanager
async def real_path(
    directory: Path, model_url: str, say: Say, *, name: str = "path", packages: Mapping[str, str] | None = None
) -> AsyncIterator[System]:
    """Every service as its own process on embedded PostgreSQL and Valkey, on free ports.

    `packages`: other modules for some kinds of process."""
    ports = {name: free_port() for name in default_ports()}
    settings = read_settings(
        {
            "data_dir": directory,
            "worker_max_jobs": WORKER_MAX_JOBS,
            "log_level": "WARNING",
            "start_timeout_seconds": 60.0,
            "max_restarts": 0,
            **ports,
        }
    )
    choice = ModelChoice("ollama", model_url, "bench:latest", embedded=False, because="bench")
    report = Report(ready=lambda part, seconds: announce(say, part, seconds), trouble=say)
    async with AsyncExitStack() as held:
        with patch.dict(PACKAGES, packages or {}):
            stack = await held.enter_async_context(running_stack(settings, choice, report))
        yield System(name, stack.gateway_urls[0], lambda: roles_of(stack.pids))


def announce(say: Say, part: Part, seconds: float) -> None:
    say(f"  {part.name} ready after {seconds:.1f} s")


def roles_of(pids: Mapping[str, int]) -> dict[str, list[int]]:
    """`gateway` and `gateway-2` are one role."""
    roles: dict[str, list[int]] = {}
    for name, pid in pids.items():
        roles.setdefault(name.partition("-")[0], []).append(pid)
    return roles


def running_system(url: str, pids: Mapping[str, Sequence[int]]) -> System:
    """A system somebody else started, with this run's fake model server as its model."""
    return System("path", url, lambda: pids)


def parse_pids(text: str) -> dict[str, list[int]]:
    """`worker=12,gateway=13,worker=14` → roles. Raises `ValueError`."""
    roles: dict[str, list[int]] = {}
    for item in filter(None, text.split(",")):
        role, found, pid = item.partition("=")
        if not found:
            raise ValueError(f"{item!r} is not role=pid")
        roles.setdefault(role, []).append(int(pid))
    return roles
