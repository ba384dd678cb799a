"""Work behind the replies survives what a database and a refusal may do, says so, and hides nothing else."""

from __future__ import annotations

import logging

import asyncpg
import pytest

from pmcp_common.contracts.errors import Unavailable
from pmcp_memory.database import surviving

log = logging.getLogger(__name__)


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (Unavailable("away", retry_after=1), {"step": "prune", "code": -32007}),
        (asyncpg.DeadlockDetectedError("deadlock"), {"step": "prune"}),
        (OSError("reset"), {"step": "prune"}),
    ],
)
def test_a_failure_is_logged_with_what_was_done_and_goes_no_further(
    caplog: pytest.LogCaptureFixture, failure: Exception, told: dict[str, object]
) -> None:
    with surviving(log, "put off", step="prune"):
        raise failure
    (record,) = caplog.records
    assert (record.message, record.levelname) == ("put off", "WARNING")
    assert {name: value for name, value in vars(record).items() if name in ("step", "code")} == told
    assert bool(record.exc_info) is not isinstance(failure, Unavailable)


def test_a_fault_of_ours_is_not_survived() -> None:
    with pytest.raises(KeyError), surviving(log, "put off"):
        raise KeyError
