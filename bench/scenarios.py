"""The settings that are measured, and one measurement: load process, CPU of each role, the model server's own timing.

Above it: `bench.__main__`. Below it: `bench.load` (as a process), `bench.processes`, the fake model's control routes.
Rule: a system is only a URL and the process ids of its roles; nothing here knows how it was started.
"""

import asyncio
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import orjson

from bench.figures import Cost, Figures, Window, make_figures
from bench.load import CLOSED_LINE, OPEN_LINE, Plan
from bench.processes import Crashed, Family, Usage, usage_by_name


@dataclass(frozen=True, slots=True)
class Setting:
    """One load on both systems, and how the model server times its tokens meanwhile."""

    name: str
    plan: Plan
    ttft_ms: float = 50.0
    gap_ms: float = 20.0
    tokens: int = 40


@dataclass(frozen=True, slots=True)
class System:
    """What is measured. `pids` gives the root processes of each role now (a restart changes them)."""

    name: str
    url: str
    pids: Callable[[], Mapping[str, Sequence[int]]]


SHORT, LONG = "slope-20", "slope-100"


def closed_loop(sockets: int, seconds: float) -> Setting:
    name = "1 socket" if sockets == 1 else f"{sockets} sockets"
    return Setting(name, Plan("", sockets, seconds, ramp_seconds=2.0, warm_seconds=2.0))


def crowd(seconds: float) -> Setting:
    """500 players who think 4 to 12 s; 20 tokens a second each."""
    plan = Plan("", 500, seconds, ramp_seconds=8.0, warm_seconds=8.0, think_low_seconds=4.0, think_high_seconds=12.0)
    return Setting("crowd 500", plan, gap_ms=50.0)


def slope(name: str, tokens: int, sockets: int, seconds: float) -> Setting:
    """One request per socket every 5 s whatever its length: two lengths differ only in tokens."""
    return Setting(
        name, Plan("", sockets, seconds, ramp_seconds=2.0, warm_seconds=6.0, pace_seconds=5.0), tokens=tokens
    )


def all_settings(*, quick: bool) -> dict[str, list[Setting]]:
    """By the name that `--settings` takes."""
    closed, pace = (5.0, 10.0) if quick else (15.0, 30.0)
    table = {str(sockets): [closed_loop(sockets, closed)] for sockets in (1, 50, 200)}
    table["crowd"] = [crowd(15.0 if quick else 60.0)]
    table["slope"] = [slope(SHORT, 20, 100, pace), slope(LONG, 100, 100, pace)]
    return table


class ModelControl:
    """The fake model server's control routes."""

    def __init__(self, client: aiohttp.ClientSession, url: str) -> None:
        self._client = client
        self._url = url

    async def prepare(self, setting: Setting) -> None:
        document = {"ttft_ms": setting.ttft_ms, "gap_ms": setting.gap_ms, "tokens": setting.tokens}
        await self._post("/fake/script", document | {"reset": True})

    async def tokens_sent(self) -> int:
        async with self._client.get(f"{self._url}/fake/stats") as response:
            return int((await response.json())["tokens_sent"])

    async def own_ttft_ms(self) -> dict[str, float]:
        """By marker; taken out of the server."""
        document = await self._post("/fake/timings", {})
        return {item["marker"]: float(item["ttft_ms"]) for item in document["timings"]}

    async def _post(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        async with self._client.post(self._url + path, data=orjson.dumps(document)) as response:
            answer: dict[str, Any] = await response.json()
            if response.status != 200:
                raise Crashed(f"the model server refused {path}: {answer}")
            return answer


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Both ends of a window are one of these."""

    at: float
    usage: Mapping[str, Usage]
    tokens: int


class Bench:
    """Measures one setting on one system at a time."""

    def __init__(self, family: Family, model: ModelControl, model_pid: int) -> None:
        self._family = family
        self._model = model
        self._model_pid = model_pid
        self._runs = 0

    async def measure(self, system: System, setting: Setting) -> Figures:
        await self._model.prepare(setting)
        self._runs += 1
        plan = replace(setting.plan, url=system.url, seed=self._runs)
        load = await self._family.start_python("load", "bench.load", *plan.arguments(), output=subprocess.PIPE)
        assert load.process.stdout is not None
        try:
            opened = await self._at_line(load.process.stdout, OPEN_LINE, system, load.pid)
            closed = await self._at_line(load.process.stdout, CLOSED_LINE, system, load.pid)
            result = orjson.loads(await load.process.stdout.read())
        finally:
            await self._family.end(load)
        window = Window(closed.at - opened.at, int(result["finished"]), closed.tokens - opened.tokens)
        own = await self._model.own_ttft_ms()
        return make_figures(system.name, setting.name, result, own, window, spent(opened, closed))

    async def _at_line(self, output: asyncio.StreamReader, line: str, system: System, load_pid: int) -> Snapshot:
        got = (await output.readline()).decode().strip()
        if got != line:
            raise Crashed(f"the load client said {got!r} instead of {line!r}; see its log")
        roles = {**system.pids(), "model": [self._model_pid], "client": [load_pid]}
        at = asyncio.get_running_loop().time()
        return Snapshot(at, usage_by_name(roles), await self._model.tokens_sent())


def spent(opened: Snapshot, closed: Snapshot) -> dict[str, Cost]:
    """CPU between two snapshots and memory at the second; a role that restarted in between counts what it has."""
    return {
        role: Cost(max(0.0, usage.cpu_seconds - opened.usage[role].cpu_seconds), usage.rss_mb)
        for role, usage in closed.usage.items()
    }
