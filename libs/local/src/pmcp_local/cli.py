"""What the commands of `pmcp` do: the composition root of the one-machine stack.

Every expected failure ends here as one sentence and an exit code: 1 the stack or the chat failed, 2 a wrong
setting or flag, 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pmcp_common.configuration import WRONG_SETTINGS, ConfigurationError, explain_mistakes
from pmcp_local import arguments, console, settings_report, simulation_report
from pmcp_local.chat_client import ChatFailure
from pmcp_local.data_directory import hold
from pmcp_local.demo import run_chat
from pmcp_local.model_choice import ModelChoice, choose_model
from pmcp_local.part import Part, StackError
from pmcp_local.ports import find_free
from pmcp_local.scenario import Scenario, WrongScenario, disappointments, read_record, read_scenario
from pmcp_local.settings import LocalSettings, default_ports, inherited_environment, read_settings
from pmcp_local.stack import Stack, compose, service_packages
from pmcp_local.supervisor import Limits, Report, Supervisor

INTERRUPTED = 130
LEAVING = (signal.SIGINT, signal.SIGTERM)
Body = Callable[[Stack], Coroutine[Any, Any, int]]


def run(words: Sequence[str] | None = None) -> int:
    options = arguments.parse(words)
    command = {
        "up": _up,
        "demo": _demo,
        "chat": _chat,
        "check": _check,
        "simulate": _simulate,
        "check-settings": _check_settings,
    }[options.command]
    try:
        return command(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except ValidationError as error:
        return _complain_of(explain_mistakes(error, LocalSettings))
    except ConfigurationError as error:
        return _complain_of([str(error)])
    except settings_report.WrongSettings as error:
        return _complain_of(error.mistakes)
    except (StackError, ChatFailure) as failure:
        console.complain(str(failure))
        return 1


def _complain_of(mistakes: Sequence[str]) -> int:
    for mistake in mistakes:
        console.complain(mistake)
    return WRONG_SETTINGS


def _up(options: argparse.Namespace) -> int:
    reached = False

    async def body(stack: Stack) -> int:
        nonlocal reached
        reached = True
        console.say("Clients connect to:")
        for url in stack.gateway_urls:
            console.say(f"  {url}")
        console.say("Talk with `make chat` or `pmcp chat`. Ctrl-C ends everything.")
        forever: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        return await forever

    code = asyncio.run(_run_stack(_stack_settings(options), options, body))
    # Ending a running stack with Ctrl-C is how it is meant to end.
    return 0 if reached and code == INTERRUPTED else code


def _demo(options: argparse.Namespace) -> int:
    async def body(stack: Stack) -> int:
        words = ["--url", stack.gateway_urls[0], "--persona", options.persona, "--player", options.player]
        return await run_chat(words, inherited_environment())

    return asyncio.run(_run_stack(_stack_settings(options), options, body))


def _chat(options: argparse.Namespace) -> int:
    # Heavy, and only the chat needs it.
    from pmcp_local.chat import chat

    for number in LEAVING:
        signal.signal(number, _leave)
    return chat(_url(options), options.persona, options.player)


def _check(options: argparse.Namespace) -> int:
    from pmcp_local.check import check_deployment

    return check_deployment(_url(options), console.say)


def _simulate(options: argparse.Namespace) -> int:
    # Heavy, and only this needs it.
    from pmcp_local.simulation import simulate

    try:
        if options.replay is not None:
            record = read_record(options.replay)
            for line in simulation_report.transcript(record):
                console.say(line)
        else:
            record = simulate(_url(options), _scenario(options), console.say)
            if options.record is not None:
                options.record.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except WrongScenario as error:
        return _complain_of(str(error).splitlines())
    console.say()
    for line in simulation_report.summary(record):
        console.say(line)
    faults = disappointments(record)
    for fault in faults:
        console.complain(fault)
    return 1 if faults else 0


def _scenario(options: argparse.Namespace) -> Scenario:
    scenario = read_scenario(options.scenario) if options.scenario is not None else Scenario()
    flags = {
        "minutes": options.minutes,
        "personas": options.personas and [name.strip() for name in options.personas.split(",")],
        "topics": options.topic and [options.topic],
        "token_budget": options.budget,
        "max_turns": options.turns,
        "seed": options.seed,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Scenario.model_validate({**scenario.model_dump(), **given})
    except ValidationError as error:
        raise WrongScenario("\n".join(f"{fault['loc'][0]}: {fault['msg']}." for fault in error.errors())) from error


def _url(options: argparse.Namespace) -> str:
    """The gateway that was named, else this machine's."""
    settings = read_settings({"gateway_port": options.gateway_port})
    return options.url or f"ws://{settings.gateway_host}:{settings.gateway_port}/mcp"


def _leave(_signal: int, _frame: object) -> None:
    """Once: a terminal and `pmcp demo` may both tell us, and a second interrupt would break the first one's way out."""
    for number in LEAVING:
        signal.signal(number, _leaving_already)
    raise KeyboardInterrupt


def _leaving_already(_signal: int, _frame: object) -> None:
    """Not SIG_IGN: Python complains aloud of a signal that was on its way when it was set."""


def _check_settings(_options: argparse.Namespace) -> int:
    report = settings_report.describe(service_packages())
    for line in report.lines:
        console.say(line)
    return _complain_of(report.mistakes) if report.mistakes else 0


def _stack_settings(options: argparse.Namespace) -> LocalSettings:
    flags = arguments.given_settings(options)
    if options.free_ports:
        names = [name for name in default_ports() if flags[name] is None]
        flags.update(zip(names, find_free(len(names)), strict=True))
    return settings_report.read_checked_settings(flags, service_packages())


async def _run_stack(settings: LocalSettings, options: argparse.Namespace, body: Body) -> int:
    def compose_all(directory: Path, choice: ModelChoice) -> Stack:
        return compose(
            settings,
            directory,
            choice,
            inherited_environment(),
            gateways=options.gateways,
            workers=options.workers,
        )

    return await run_supervised(settings, compose_all, body)


async def run_supervised(
    settings: LocalSettings, compose_parts: Callable[[Path, ModelChoice], Stack], body: Body
) -> int:
    """Hold the data directory, start the parts, run the body; nothing is left afterwards. INTERRUPTED when a
    signal ended it."""
    with hold(settings.data_dir, settings.min_free_bytes) as directory:
        choice = await choose_model(settings)
        stack = compose_parts(directory, choice)
        supervisor = Supervisor(stack.parts, directory / "logs", _limits(settings), _report())
        _on_signals(supervisor.interrupt)
        console.say(f"Starting {len(stack.parts)} parts; data and logs are in {_short(str(directory))}.")
        console.say(choice.sentence())
        try:
            return await supervisor.run(lambda: body(stack))
        except asyncio.CancelledError:
            return INTERRUPTED


def _limits(settings: LocalSettings) -> Limits:
    return Limits(
        start_timeout_seconds=settings.start_timeout_seconds,
        stop_timeout_seconds=settings.stop_timeout_seconds,
        max_restarts=settings.max_restarts,
        log_max_bytes=settings.log_max_bytes,
    )


def _report() -> Report:
    def ready(part: Part, seconds: float) -> None:
        console.say(console.part_line(part.name, part.address, seconds))

    return Report(ready=ready, trouble=console.complain)


def _on_signals(interrupt: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupt)


def _short(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative
