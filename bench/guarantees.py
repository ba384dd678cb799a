"""`python -m bench.guarantees`: what the guarantees cost: the stack with and without them, by turns, in one run.

Both run the whole time on the same fake model server and the same machine; each setting is measured on one, the
other, the other, the one, and so on, and the medians are compared. Above it: the shell. Below it: `bench.systems` and
`bench.unguarded`. Exit code 1: an aim was missed, or a reply was wrong.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from functools import partial

import orjson

from bench.figures import Figures, number, render_table
from bench.processes import free_port
from bench.runs import chosen_settings, common_options, exit_code, say, started_bench
from bench.scenarios import System, closed_loop
from bench.systems import real_path

GUARDED, UNGUARDED = "with", "without"
UNGUARDED_PACKAGES = {"gateway": "bench.unguarded.gateway", "worker": "bench.unguarded.worker"}
AROUND = ("model", "client")
"""Not of the stack."""
WARM_UP = 50, 5.0
"""Sockets and seconds: what is measured then is forgotten."""
MOST_REPLIES = 0.20
"""Of replies/s, at most."""
MOST_TTFT_MS = 10.0
"""Of the median time to the first token, at most."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Medians of one setting. `lost_share`: of replies/s; `added_ms`: to the time to first token.

    The processor's time for a reply says the same with less noise: it does not depend on what else the machine does.
    """

    setting: str
    runs: int
    replies_with: float
    replies_without: float
    ttft_with_ms: float
    ttft_without_ms: float
    cpu_with_ms: float
    """Of one reply, all processes of the stack together."""
    cpu_without_ms: float
    wrong: int

    @property
    def lost_share(self) -> float:
        return 1 - self.replies_with / self.replies_without if self.replies_without else 1.0

    @property
    def added_ms(self) -> float:
        return self.ttft_with_ms - self.ttft_without_ms

    @property
    def met(self) -> bool:
        return self.lost_share <= MOST_REPLIES and self.added_ms <= MOST_TTFT_MS and not self.wrong


def parse_options(arguments: list[str]) -> argparse.Namespace:
    return common_options("bench.guarantees", __doc__, settings="1,50,200", repeat=5).parse_args(arguments)


def order_of(turn: int, systems: Sequence[System]) -> Sequence[System]:
    """The one that comes second finds a warmer machine: by turns."""
    return systems if turn % 2 == 0 else systems[::-1]


async def run(options: argparse.Namespace) -> list[Figures]:
    settings, port = chosen_settings(options), free_port()
    model_url = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as held:
        bench = await held.enter_async_context(started_bench(options.directory, port))
        systems = []
        for name, packages in ((GUARDED, {}), (UNGUARDED, UNGUARDED_PACKAGES)):
            say(f"starting the stack {name} its guarantees")
            path = real_path(options.directory / name, model_url, say, name=name, packages=packages)
            systems.append(await held.enter_async_context(path))
        for system in systems:
            say(f"warming up the stack {system.name} them")
            await bench.measure(system, closed_loop(*WARM_UP))
        measured = []
        for setting in settings:
            for turn in range(options.repeat):
                for system in order_of(turn, systems):
                    figures = await bench.measure(system, setting)
                    say(f"  {setting.name}, {system.name}: {figures.replies_per_s} replies/s, {figures.ttft_ms}")
                    measured.append(figures)
        return measured


def compare(measured: Sequence[Figures]) -> list[Compared]:
    return [_compare(name, measured) for name in dict.fromkeys(one.setting for one in measured)]


def _compare(setting: str, measured: Sequence[Figures]) -> Compared:
    def of(system: str) -> list[Figures]:
        return [one for one in measured if (one.setting, one.system) == (setting, system)]

    def replies(system: str) -> float:
        return statistics.median(one.replies_per_s for one in of(system))

    def ttft(system: str) -> float:
        return statistics.median(one.ttft_ms.get("p50", 0.0) for one in of(system))

    def cpu(system: str) -> float:
        return statistics.median(
            sum(spent for role, spent in one.cpu_ms_per_reply.items() if role not in AROUND) for one in of(system)
        )

    return Compared(
        setting=setting,
        runs=len(of(GUARDED)),
        replies_with=replies(GUARDED),
        replies_without=replies(UNGUARDED),
        ttft_with_ms=ttft(GUARDED),
        ttft_without_ms=ttft(UNGUARDED),
        cpu_with_ms=cpu(GUARDED),
        cpu_without_ms=cpu(UNGUARDED),
        wrong=sum(sum(one.faults.values()) - one.faults.get("degraded", 0) for one in (*of(GUARDED), *of(UNGUARDED))),
    )


def report(compared: Sequence[Compared]) -> str:
    header = (
        *("setting", "runs", "replies/s with", "without", "lost"),
        *("TTFT p50 ms with", "without", "added", "CPU ms a reply with", "without", "wrong", "aims"),
    )
    rows = [
        [
            *(one.setting, str(one.runs), number(one.replies_with), number(one.replies_without)),
            f"{one.lost_share:.1%}",
            *(number(one.ttft_with_ms), number(one.ttft_without_ms), number(one.added_ms)),
            *(number(one.cpu_with_ms), number(one.cpu_without_ms)),
            *(str(one.wrong), "met" if one.met else "missed"),
        ]
        for one in compared
    ]
    aims = f"aims: at most {MOST_REPLIES:.0%} of replies/s lost and {MOST_TTFT_MS:g} ms added to the TTFT's median"
    return f"{render_table(header, rows)}\n\n{aims}"


def finish(options: argparse.Namespace, measured: list[Figures]) -> int:
    compared = compare(measured)
    print(report(compared))
    if options.json:
        document = {"compared": [asdict(one) for one in compared], "measured": [asdict(one) for one in measured]}
        options.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    return 0 if all(one.met for one in compared) else 1


def main() -> int:
    options = parse_options(sys.argv[1:])
    return exit_code(run(options), partial(finish, options))


if __name__ == "__main__":
    sys.exit(main())
