"""`python -m bench`: the bare relay and the real path, side by side, on one fake model server. The composition root.

Progress goes to standard error, the tables to standard output, every figure to `--json FILE`.
Rule: a run starts its own processes and ends them all, also on Ctrl-C.
"""

import argparse
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

import orjson

from bench import figures
from bench.processes import free_port
from bench.runs import chosen_settings, common_options, exit_code, say, started_bench
from bench.scenarios import LONG, SHORT, System, all_settings
from bench.systems import bare_relay, parse_pids, real_path, running_system


def parse_options(arguments: list[str]) -> argparse.Namespace:
    parser = common_options("bench", __doc__, settings=",".join(all_settings(quick=False)), repeat=1)
    parser.add_argument("--only", default="relay,path", help="which systems: relay, path or both")
    parser.add_argument("--url", help="a running system instead of an own stack: ws://…/mcp")
    parser.add_argument("--pids", default="", help="with --url: worker=PID,gateway=PID,…")
    parser.add_argument("--model-port", type=int, default=0, help="of the fake model server; with --url: fixed")
    return parser.parse_args(arguments)


async def start_systems(options: argparse.Namespace, held: AsyncExitStack, model_url: str) -> list[System]:
    systems = []
    if "relay" in options.only.split(","):
        say("starting the bare relay")
        systems.append(await held.enter_async_context(bare_relay(options.directory / "relay", model_url)))
    if "path" in options.only.split(","):
        if options.url:
            systems.append(running_system(options.url, parse_pids(options.pids)))
        else:
            say("starting the real path")
            systems.append(await held.enter_async_context(real_path(options.directory / "path", model_url, say)))
    return systems


async def run(options: argparse.Namespace) -> list[figures.Figures]:
    settings, port = chosen_settings(options), options.model_port or free_port()
    async with AsyncExitStack() as held:
        bench = await held.enter_async_context(started_bench(options.directory, port))
        systems = await start_systems(options, held, f"http://127.0.0.1:{port}")
        results = []
        for setting in settings:
            runs: dict[str, list[figures.Figures]] = {system.name: [] for system in systems}
            for turn in range(options.repeat):
                for system in systems:
                    say(f"{setting.name}, {system.name} ({turn + 1} of {options.repeat})")
                    measured = await bench.measure(system, setting)
                    runs[system.name].append(measured)
                    say("  " + "  ".join(figures.speed_row(measured)[2:]))
            results += [figures.median_of(values) for values in runs.values()]
        return results


def slopes_of(results: list[figures.Figures]) -> dict[str, dict[str, float]]:
    found = {(item.system, item.setting): item for item in results}
    systems = dict.fromkeys(item.system for item in results)
    return {
        name: figures.token_slope(found[name, SHORT], found[name, LONG])
        for name in systems
        if (name, SHORT) in found and (name, LONG) in found
    }


def print_report(results: list[figures.Figures]) -> None:
    print("TTFT overhead (measured at the client less the model server's own), ms\n")
    print(figures.render_speed(results))
    print("\nCPU ms per reply / µs per token / RSS MB, by process\n")
    print(figures.render_costs(results))
    if timings := figures.render_timings(results):
        print("\nThe path's own timings, ms\n\n" + timings)
    if slopes := slopes_of(results):
        print("\n" + figures.render_slopes(slopes))
    if faults := figures.render_faults(results):
        print("\nFaults\n" + faults)


def write_json(path: Path, results: list[figures.Figures]) -> None:
    document = {"results": [asdict(item) for item in results], "slopes_us_per_token": slopes_of(results)}
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def report(options: argparse.Namespace, results: list[figures.Figures]) -> int:
    print_report(results)
    if options.json:
        write_json(options.json, results)
    return 0


def main() -> int:
    options = parse_options(sys.argv[1:])
    return exit_code(run(options), partial(report, options))


if __name__ == "__main__":
    sys.exit(main())
