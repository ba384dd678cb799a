"""The embedded servers under a supervisor, without our services: what the tests of the supervisor run as a process."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pmcp_local.cli import run_supervised
from pmcp_local.console import complain, say
from pmcp_local.model_choice import ModelChoice
from pmcp_local.part import StackError
from pmcp_local.settings import inherited_environment, read_settings
from pmcp_local.stack import Stack, embedded_servers


async def wait_for_ever(_stack: Stack) -> int:
    say("everything is up")
    forever: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    return await forever


def main() -> int:
    settings = read_settings({})

    def compose(directory: Path, choice: ModelChoice) -> Stack:
        return Stack(tuple(embedded_servers(settings, directory, choice, inherited_environment())), ())

    try:
        return asyncio.run(run_supervised(settings, compose, wait_for_ever))
    except StackError as error:
        complain(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
