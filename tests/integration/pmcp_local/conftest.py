"""Stacks for one test, and the promise that each leaves no process behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.pmcp_local.stack_process import NewStack, StackProcess


@pytest.fixture
async def new_stack(tmp_path: Path) -> AsyncIterator[NewStack]:
    made: list[StackProcess] = []

    def make(name: str = "data", **settings: str) -> StackProcess:
        made.append(StackProcess(tmp_path / name, **settings))
        return made[-1]

    yield make
    for stack in made:
        if hasattr(stack, "process") and stack.process.returncode is None:
            stack.process.kill()
            await stack.ended()
    for stack in made:  # after all have ended: two may share a data directory
        assert await stack.left_nothing(), stack.living()
