"""What only a network namespace and mounts of one's own allow: packets that vanish, and disks that are full.

Started by `isolation`; the rest is as for all fault tests.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench.soak.hazards import Hazards

DISKS = {".": 400, "valkey": 64}
"""MB of the disk for everything, and of Valkey's own."""
ESTABLISHED = "01"


@pytest.fixture(scope="session")
def stack_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small disk, so that it can be filled, and one of its own for Valkey."""
    directory = tmp_path_factory.mktemp("faults")
    for name, megabytes in DISKS.items():
        disk = directory / name
        disk.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "disk", str(disk)], check=True)
    return directory


def open_connections(port: int, *, ours: bool = True) -> list[int]:
    """The clients' ports of all connections to this port, as the clients hold them, or else as its listener does."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    ends = [[int(end.rpartition(":")[2], 16) for end in row[1:3]] for row in rows if row[3] == ESTABLISHED]
    listeners_end, clients_end = (1, 0) if ours else (0, 1)
    return [one[clients_end] for one in ends if one[listeners_end] == port]


@asynccontextmanager
async def dropped(hazards: Hazards, port: int) -> AsyncIterator[list[int]]:
    """Packets of the connections that this port has now vanish in both directions; new connections work."""
    clients = open_connections(port)
    rules = [
        f"add rule inet faults in tcp {here} {port} tcp {there} {{ {', '.join(map(str, clients))} }} drop"
        for here, there in (("sport", "dport"), ("dport", "sport"))
    ]
    chain = "add chain inet faults in { type filter hook input priority 0 ; }"
    async with hazards.noted("network", "dropped"):
        _filter("add table inet faults", chain, *rules)
        try:
            yield clients
        finally:
            _filter("delete table inet faults")


def _filter(*commands: str) -> None:
    subprocess.run(["nft", "-f", "-"], input="\n".join(commands).encode(), check=True)


@asynccontextmanager
async def full_disk(hazards: Hazards, name: str, folder: str) -> AsyncIterator[None]:
    """Not a byte is free on the disk of this folder inside the block."""
    ballast = hazards.stack.data / folder / "ballast"
    async with hazards.noted(name, "disk full"):
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(b"\0" * 65536):
                    pass
            except OSError:
                pass  # full, as it should be
            file.flush()
            os.fsync(file.fileno())
        try:
            yield
        finally:
            ballast.unlink()
