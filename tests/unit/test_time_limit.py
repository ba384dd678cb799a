"""A unit test that hangs ends with its name, and those behind it run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pmcp_local.settings import inherited_environment

ROOT = Path(__file__).parents[2]
SHORT_LIMIT = """
from pathlib import Path

from tests.unit import conftest
from tests.unit.conftest import pytest_runtest_protocol

conftest.HERE = Path(__file__).parent
conftest.TEST_SECONDS = conftest.AGAIN_SECONDS = 0.2
"""
HANGING = """
import asyncio
import threading

async def test_waits_for_nobody():
    await asyncio.Event().wait()

async def test_never_stops_looking():
    while True:
        try:
            await asyncio.sleep(0)
        except Exception:
            pass

def test_holds_a_lock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

def test_is_quick():
    pass
"""


def test_one_that_hangs_fails_under_its_name_and_the_next_one_runs(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(SHORT_LIMIT)
    (tmp_path / "test_hanging.py").write_text(HANGING)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_hanging.py"],
        cwd=tmp_path,
        env={**inherited_environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert "3 failed, 1 passed" in run.stdout, run.stdout + run.stderr
    for name in ("test_waits_for_nobody", "test_never_stops_looking", "test_holds_a_lock"):
        assert f"{name} took longer than 0.2 s" in run.stdout
