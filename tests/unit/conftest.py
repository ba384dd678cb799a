"""No unit test waits for ever: one that takes a minute fails where it stands, under its name."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

HERE = Path(__file__).parent
TEST_SECONDS = 60.0
AGAIN_SECONDS = 1.0
"""The first alarm may only end a task that the test does not wait for."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Set-up and tear-down count too. Signals are the main thread's: a run in another has no limit.

    The hook is asked about every test, wherever it stands; those of the faults may take minutes.
    """
    if HERE not in item.path.parents or threading.current_thread() is not threading.main_thread():
        return (yield)

    def end(number: int, frame: FrameType | None) -> None:
        # No Exception: neither an event loop nor the code that hangs may take it for one of its own.
        raise pytest.fail.Exception(f"{item.nodeid} took longer than {TEST_SECONDS:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, TEST_SECONDS, AGAIN_SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
