"""A run of pytest in a network and with mounts of its own: packets that vanish and disks that are full need them.

Linux, root, and the tools `unshare`, `ip`, `nft` and `mount`; elsewhere NotHere says why not. Rule: whatever is changed
in there is gone with its processes.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from asyncio.subprocess import PIPE, STDOUT
from dataclasses import dataclass
from pathlib import Path

TOOLS = ("unshare", "ip", "nft", "mount")
OWN = ("unshare", "--net", "--mount", "--kill-child", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
PROBE = ("nft", "list", "ruleset")
PROBE_SECONDS = 20.0


class NotHere(Exception):
    """This machine has no such thing."""


@dataclass(frozen=True, slots=True)
class Isolated:
    failed: bool
    output: str
    figures: Path


async def run_isolated(root: Path, directory: Path, size: str, seconds: float) -> Isolated:
    """`tests/faults/isolated`, with what it measured. Raises NotHere, TimeoutError."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise NotHere(f"not installed: {', '.join(missing)} (Debian: iproute2, nftables)")
    refused, why = await _run(*OWN, *PROBE, cwd=root, seconds=PROBE_SECONDS)
    if refused:
        raise NotHere(f"no network or packet filter of one's own here: {why.strip()}")
    figures = directory / "figures.json"
    options = ("--isolated", "--fault-size", size, "--fault-figures", str(figures))
    places = ("--basetemp", str(directory / "isolated"))
    command = (sys.executable, "-m", "pytest", "tests/faults/isolated", *options, *places)
    failed, output = await _run(*OWN, *command, cwd=root, seconds=seconds)
    return Isolated(failed, output, figures)


async def _run(*command: str, cwd: Path, seconds: float) -> tuple[bool, str]:
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, stdout=PIPE, stderr=STDOUT)
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    return process.returncode != 0, output.decode(errors="replace")
