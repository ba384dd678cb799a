"""What every run of the bench has: its options, the fake model server, an exit code, also on Ctrl-C.

Above it: the composition roots `bench.__main__` and `bench.guarantees`. Below it: `bench.scenarios`, `bench.processes`.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import uvloop

from bench.processes import Crashed, Family
from bench.scenarios import Bench, ModelControl, Setting, all_settings
from pmcp_local.part import StackError

Result = TypeVar("Result")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def common_options(module: str, about: str, *, settings: str, repeat: int) -> argparse.ArgumentParser:
    """`settings` and `repeat`: the defaults."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short windows: a smoke test, not a measurement")
    parser.add_argument("--settings", default=settings, help=f"which of {','.join(all_settings(quick=False))}")
    parser.add_argument("--repeat", type=int, default=repeat, help="times each; the median counts, faults are summed")
    parser.add_argument("--json", type=Path, help="where every figure is written")
    parser.add_argument("--directory", type=Path, default=Path(".pmcp/bench"), help="data and logs of the run")
    return parser


def chosen_settings(options: argparse.Namespace) -> list[Setting]:
    """Raises Crashed for a name that is none."""
    table = all_settings(quick=options.quick)
    unknown = set(options.settings.split(",")) - set(table)
    if unknown:
        raise Crashed(f"unknown settings: {', '.join(sorted(unknown))}")
    return [setting for name in options.settings.split(",") for setting in table[name]]


@asynccontextmanager
async def started_bench(directory: Path, model_port: int) -> AsyncIterator[Bench]:
    """With its own fake model server on that port."""
    model_url = f"http://127.0.0.1:{model_port}"
    async with Family(directory) as family, aiohttp.ClientSession() as client:
        model = await family.start_python("model", "pmcp_common.testing.fake_model", "--port", str(model_port))
        await family.wait_for_http(model, f"{model_url}/api/version")
        yield Bench(family, ModelControl(client, model_url), model.pid)


def exit_code(work: Coroutine[Any, Any, Result], finish: Callable[[Result], int]) -> int:
    """Of a run to its end: `finish` reports what came out and gives the code."""
    try:
        result = uvloop.run(work)
    except (Crashed, StackError) as error:
        say(str(error))
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("interrupted; everything that was started is gone")
        return 130
    return finish(result)
