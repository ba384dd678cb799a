"""Half-open sockets and full disks: what a network and mounts of one's own showed (`isolated_run`)."""

from __future__ import annotations

import asyncio

import pytest

from bench.soak import measured
from tests.faults.conftest import Book
from tests.faults.isolation import Isolated, NotHere

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHOWN_CHARS = 6000


async def test_half_open_sockets_and_full_disks_cost_nobody_a_word(
    isolated_run: asyncio.Task[Isolated], book: Book
) -> None:
    """Begun with the tests of the workers, which mostly wait."""
    try:
        run = await isolated_run
    except NotHere as reason:
        pytest.skip(str(reason))
    assert not run.failed, run.output[-SHOWN_CHARS:]
    book.add(measured.read(run.figures))
