"""`python -m bench.soak`: clients talk to the whole stack under random faults, and the checker judges what they saw.

Progress goes to standard error, the table to standard output, everything to the directory of the run. The composition
root. Exit code 1: a promise was broken. Rule: the seed that is printed makes the same faults and the same clients.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from pathlib import Path

import orjson
import uvloop

from bench.soak import measured
from bench.soak.crowd import Crowd
from bench.soak.fault_stack import FaultStack, fault_stack
from bench.soak.figures import Course, costs, course_of, faults_of, lived_through_a_fault
from bench.soak.harvest import Harvest
from bench.soak.hazards import CHOICES, Choice, Hazards, storm
from bench.soak.holdings import verdict
from bench.soak.report import Failed, Run, document, markdown, run_of, with_report
from pmcp_common.testing.fake_model_script import Script
from pmcp_common.testing.history import Recorder, read_history
from pmcp_common.testing.history_checker import Report, examine
from pmcp_local.part import StackError

PROGRESS_SECONDS = 20.0
WATCH_SECONDS = 0.5
PAUSE_SECONDS = (1.0, 6.0)
"""Between two faults: shorter than most recoveries, so that some overlap."""
SETTLE_SECONDS = 180.0
MAX_CALLS = 1_000_000
PATIENCE = {
    "PMCP_MODEL_FIRST_TOKEN_SECONDS": "8",
    "PMCP_MODEL_IDLE_SECONDS": "5",
    "PMCP_MODEL_TOTAL_SECONDS": "60",
}
"""Shorter than shipped, so that a silent model costs the run little."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse_options(arguments: list[str]) -> argparse.Namespace:
    names = sorted(choice.name for choice in CHOICES)
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, help="of faults and clients; drawn and printed otherwise")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long at most")
    parser.add_argument("--streams", type=int, help="end sooner, after so many streams")
    parser.add_argument("--clients", type=int, default=32, help="talking at a time")
    parser.add_argument("--faults", default=",".join(names), help="which, comma-separated; all: " + ", ".join(names))
    parser.add_argument("--directory", type=Path, default=Path(".pmcp/soak"), help="data, logs and history of the run")
    parser.add_argument(
        "--measured", type=Path, help="what `pytest tests/faults --fault-figures FILE` wrote: reported too"
    )
    parser.add_argument("--again", type=Path, help="directory of an earlier run: only judge and report it once more")
    parser.add_argument("--page", type=Path, help="page whose marked part becomes the report: docs/reliability.md")
    return parser.parse_args(arguments)


def chosen(text: str) -> tuple[Choice, ...]:
    """Raises ValueError."""
    names = {name.strip() for name in text.split(",")}
    unknown = names - {choice.name for choice in CHOICES}
    if unknown:
        raise ValueError(f"unknown faults: {', '.join(sorted(unknown))}")
    return tuple(choice for choice in CHOICES if choice.name in names)


async def soak(options: argparse.Namespace, directory: Path, seed: int) -> int:
    script = Script(ttft_ms=60, gap_ms=40, tokens=32, record_limit=MAX_CALLS)
    path = directory / "history.jsonl"
    chance = random.Random(seed)
    say(f"seed {seed}; everything of this run is in {directory}")
    with Recorder(path) as recorder:
        async with fault_stack(directory / "data", script, seed=seed, overrides=PATIENCE, say=_quiet) as stack:
            hazards = Hazards(stack, recorder, chance)
            crowd, harvest = Crowd(recorder, stack.urls, seed), Harvest(recorder, hazards.lives)
            started = time.monotonic()
            async with crowd.talking(options.clients):
                await _under_faults(options, hazards, crowd, harvest)
                say("no more faults; the clients finish")
            minutes = (time.monotonic() - started) / 60
            report = await verdict(stack, harvest, path, SETTLE_SECONDS)
    run = _run(options, seed, minutes, crowd, path)
    return _tell(run, report, path, directory, options)


def command_of(options: argparse.Namespace, seed: int) -> str:
    """What makes the same run again; where its files go does not belong to it."""
    words = [f"--minutes {options.minutes:g}", f"--clients {options.clients}", f"--seed {seed}"]
    if options.streams:
        words.append(f"--streams {options.streams}")
    if {choice.name for choice in chosen(options.faults)} != {choice.name for choice in CHOICES}:
        words.append(f'--faults "{options.faults}"')
    return " ".join(["python -m bench.soak", *words])


def _quiet(text: str) -> None:
    if "ready" in text:
        say(text)


async def _under_faults(options: argparse.Namespace, hazards: Hazards, crowd: Crowd, harvest: Harvest) -> None:
    over_at = time.monotonic() + options.minutes * 60
    raging = asyncio.create_task(storm(hazards, chosen(options.faults), PAUSE_SECONDS))
    next_word = time.monotonic() + PROGRESS_SECONDS
    try:
        while time.monotonic() < over_at and not (options.streams and crowd.ended >= options.streams):
            await asyncio.wait({raging}, timeout=WATCH_SECONDS)
            if raging.done():
                raging.result()
            if time.monotonic() > next_word:
                next_word += PROGRESS_SECONDS
                say(
                    f"  {crowd.ended} streams ended, {len(hazards.done)} faults, {crowd.gave_up} given up,"
                    f" {len(crowd.library_gave_up)} by the library"
                )
                await harvest.gather_ended(hazards.stack.redis_url, crowd.streams)
    finally:
        raging.cancel()
        await asyncio.gather(raging, return_exceptions=True)
        await _healed(hazards.stack)


async def _healed(stack: FaultStack) -> None:
    await stack.heal()
    stack.model.script.queue.clear()


def _run(options: argparse.Namespace, seed: int, minutes: float, crowd: Crowd, path: Path) -> Run:
    course = course_of(read_history(path))
    return Run(
        command=command_of(options, seed),
        seed=seed,
        minutes=minutes,
        clients=options.clients,
        streams_in_faults=lived_through_a_fault(course),
        resumes=tuple(sorted(pause for one in crowd.told for pause in one.resumes)),
        states=dict(Counter(_ending(one.end) for one in crowd.told)),
        gave_up=crowd.gave_up,
        library_gave_up=tuple(crowd.library_gave_up),
        failed=_failed(crowd, course),
        accepted=dict(Counter(one.durability for one in crowd.told if one.stream)),
    )


def _failed(crowd: Crowd, course: Course) -> tuple[Failed, ...]:
    return tuple(
        Failed(str(one.end.get("finish_reason", "")), faults_of(course.faults, one.sent_at, one.ended_at))
        for one in crowd.told
        if one.end is not None and one.ended_at is not None and _ending(one.end) == "failed"
    )


def _ending(end: dict[str, object] | None) -> str:
    if end is None:
        return "left by their client"
    if end.get("response_type") == "fallback":
        return "answered with a marked line"
    return str(end.get("state", "failed"))


def _tell(run: Run, report: Report, path: Path, directory: Path, options: argparse.Namespace) -> int:
    table = costs(course_of(read_history(path)))
    findings = measured.read(options.measured) if options.measured and options.measured.exists() else None
    text = markdown(run, report, table, findings)
    (directory / "report.md").write_text(text)
    if options.page is not None:
        options.page.write_text(with_report(options.page.read_text(), text))
    (directory / "report.json").write_bytes(orjson.dumps(document(run, report, table), option=orjson.OPT_INDENT_2))
    print(text)
    for violation in report.violations[:50]:
        print(f"VIOLATED: {violation.rule.value}: {violation.stream} {violation.evidence}")
    for words in run.library_gave_up:
        print(f"THE LIBRARY GAVE UP: {words}")
    return 1 if report.violations or run.library_gave_up or run.gave_up else 0


def report_again(options: argparse.Namespace) -> int:
    """Of a run that is over: its history judged as it is judged now, beside what `--measured` says."""
    path = options.again / "history.jsonl"
    try:
        run = run_of(orjson.loads((options.again / "report.json").read_bytes()))
        return _tell(run, examine(read_history(path)), path, options.again, options)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"soak: no report of a run in {options.again}: {error}", file=sys.stderr)
        return 2


def main() -> None:
    options = parse_options(sys.argv[1:])
    if options.again is not None:
        sys.exit(report_again(options))
    seed = random.SystemRandom().randrange(2**31) if options.seed is None else options.seed
    directory = options.directory / time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    directory.mkdir(parents=True)
    try:
        chosen(options.faults)
        if options.page is not None:
            with_report(options.page.read_text(), "")
        sys.exit(uvloop.run(soak(options, directory, seed)))
    except (ValueError, StackError) as error:
        sys.exit(f"soak: {error}")


if __name__ == "__main__":
    main()
