"""The command line of `pmcp`: names, flags and help; what they mean is `cli`'s."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pmcp_local.settings import LocalSettings, default_ports, environment_name

_STACK_SETTINGS = ("data_dir", "gateway_host", *default_ports(), "model_api", "model_url", "model_name")
_TYPES: dict[str, Any] = {"data_dir": Path}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pmcp",
        description="AI characters with a memory, on one machine: real servers, one command.",
        epilog="Every setting is an environment variable too: `pmcp check-settings` lists them all.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_up(commands)
    _add_demo(commands)
    _add_chat(commands)
    _add_check(commands)
    _add_simulate(commands)
    commands.add_parser(
        "check-settings", help="print every setting with value, unit and reason, and all mistakes at once"
    )
    return parser


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    return build_parser().parse_args(arguments)


def given_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The flags that are settings; None where not given."""
    return {name: getattr(options, name, None) for name in _STACK_SETTINGS}


def _add_up(commands: Any) -> None:
    up = commands.add_parser("up", help="start everything and keep it running until Ctrl-C")
    _add_stack_flags(up)


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser("demo", help="start everything, chat with a persona, stop everything")
    _add_stack_flags(demo)
    _add_chat_flags(demo)


def _add_chat(commands: Any) -> None:
    chat = commands.add_parser("chat", help="chat with a persona of a stack that runs already")
    chat.add_argument("--url", help="the gateway, like ws://127.0.0.1:8000/mcp (default: this machine's)")
    _add_setting(chat, "gateway_port")
    _add_chat_flags(chat)


def _add_check(commands: Any) -> None:
    check = commands.add_parser("check", help="try every method of a deployment; exit code 1 when one does not work")
    check.add_argument("--url", help="the gateway, like ws://127.0.0.1:8000/mcp (default: this machine's)")
    _add_setting(check, "gateway_port")


def _add_simulate(commands: Any) -> None:
    simulate = commands.add_parser("simulate", help="let personas talk to each other on a stack that runs already")
    simulate.add_argument("--url", help="the gateway, like ws://127.0.0.1:8000/mcp (default: this machine's)")
    _add_setting(simulate, "gateway_port")
    simulate.add_argument("--scenario", type=Path, metavar="FILE", help="a TOML file; the flags below win over it")
    simulate.add_argument("--minutes", type=float, metavar="N", help="real time at most (default 5)")
    simulate.add_argument("--personas", metavar="A,B,…", help="names or ids (default aria,kira)")
    simulate.add_argument("--topic", metavar="TOPIC", help="what they talk about (default: drawn)")
    simulate.add_argument("--budget", type=int, metavar="TOKENS", help="of one conversation (default 500)")
    simulate.add_argument("--turns", type=int, metavar="N", help="of all conversations, at most")
    simulate.add_argument("--seed", type=int, metavar="N", help="of the choices of pairs and topics (default 0)")
    simulate.add_argument("--record", type=Path, metavar="FILE", help="keep what happened, as JSON")
    simulate.add_argument(
        "--replay", type=Path, metavar="FILE", help="show and judge a record again; needs no running stack"
    )


def _add_stack_flags(parser: argparse.ArgumentParser) -> None:
    stack = parser.add_argument_group("the stack")
    stack.add_argument("--gateways", type=_count, default=1, metavar="N", help="how many gateways (default 1)")
    stack.add_argument("--workers", type=_count, default=1, metavar="N", help="how many workers (default 1)")
    stack.add_argument(
        "--free-ports", action="store_true", help="take whatever ports are free, for a second stack beside another"
    )
    for name in _STACK_SETTINGS:
        _add_setting(stack, name)


def _add_chat_flags(parser: argparse.ArgumentParser) -> None:
    chat = parser.add_argument_group("the chat")
    chat.add_argument("--persona", default="Aria", metavar="NAME", help="who to talk to (default Aria)")
    chat.add_argument(
        "--player", default="terminal", metavar="ID", help="who you are: a persona remembers players (default terminal)"
    )


def _add_setting(parser: Any, name: str) -> None:
    field = LocalSettings.model_fields[name]
    default = "" if field.default is None else f" (default {field.default})"
    metavar = "PORT" if name in default_ports() else "VALUE"
    parser.add_argument(
        "--" + name.replace("_", "-"),
        type=_TYPES.get(name, int if name in default_ports() else str),
        metavar=metavar,
        help=f"{field.description}{default}; {environment_name(name)}",
    )


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 32:
        raise argparse.ArgumentTypeError("between 1 and 32")
    return number
