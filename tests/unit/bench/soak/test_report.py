"""The report says with which command its figures were made."""

from __future__ import annotations

import shlex

import orjson
import pytest

from bench.soak.__main__ import command_of, parse_options
from bench.soak.report import Failed, Run, document, markdown, run_of
from pmcp_common.testing.history_checker import examine


@pytest.mark.parametrize(
    ("given", "command"),
    [
        ("--minutes 30 --clients 28", "--minutes 30 --clients 28 --seed 5"),
        ("--minutes 0.5 --streams 9 --page docs/x.md", "--minutes 0.5 --clients 32 --seed 5 --streams 9"),
        ('--faults "redis wipe,worker kill"', '--minutes 30 --clients 32 --seed 5 --faults "redis wipe,worker kill"'),
    ],
)
def test_the_command_makes_the_same_run_again(given: str, command: str) -> None:
    options = parse_options(shlex.split(given))
    assert command_of(options, 5) == f"python -m bench.soak {command}"
    again = parse_options(shlex.split(command))
    assert (again.minutes, again.clients, again.streams, again.faults, again.seed) == (
        options.minutes,
        options.clients,
        options.streams,
        options.faults,
        5,
    )


def test_the_command_stands_above_the_figures() -> None:
    run = Run("python -m bench.soak --seed 5", 5, 1.0, 2, 0, (), {}, 0)
    lines = markdown(run, examine([]), []).splitlines()
    assert lines[:3] == ["```", "python -m bench.soak --seed 5", "```"]
    assert any("violations in" in line for line in lines[3:])


def test_failed_ends_are_told_by_their_reason_and_what_they_went_through() -> None:
    failed = (
        Failed("interrupted", ("model cut", "worker kill")),
        Failed("interrupted", ("model cut",)),
        Failed("deadline", ()),
    )
    run = Run("soak", 5, 1.0, 2, 0, (), {"done": 4, "failed": 3}, 0, ("broken",), failed, {"durable": 6, "volatile": 1})
    text = markdown(run, examine([]), [])
    assert "Accepted as durable: 6 and volatile: 1." in text
    assert "Ends: 4 done, 3 failed." in text
    assert "Gave up: 1 times the library, 0 times a client's patience." in text
    assert "Failed with `interrupted`: 2, under model cut 2, worker kill 1" in text
    assert "Failed with `deadline`: 1, under no fault 1" in text


def test_a_run_is_read_again_from_what_was_written_of_it() -> None:
    failed = (Failed("interrupted", ("model cut", "worker kill")), Failed("deadline", ()))
    run = Run("soak", 5, 1.0, 2, 0, (0.5, 1.0), {"done": 4}, 0, ("broken",), failed, {"durable": 6})
    assert run_of(orjson.loads(orjson.dumps(document(run, examine([]), [])))) == run
