"""Every field existing clients read is on the wire, with its type, in every shape a method answers in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pmcp_common.contracts.methods import METHODS
from tests.journey.conftest import World, quick
from tests.journey.contract_fields import FIELDS
from tests.journey.contract_shapes import at, lists_in, misfits
from tests.journey.visit import Asked, successes

VISIT_SECONDS = 60.0


@pytest.fixture(scope="module")
def answers(world: World) -> Iterator[list[Asked]]:
    with ThreadPoolExecutor(1) as thread:  # of its own: each test has its loop, and this is one visit for all of them
        yield thread.submit(asyncio.run, successes(world)).result(VISIT_SECONDS)
    world.script(quick())


def test_no_method_of_the_contract_is_missing() -> None:
    assert FIELDS.keys() - METHODS.keys() == set()


@pytest.mark.parametrize("method", sorted(FIELDS))
def test_every_field_is_there_and_of_its_type(method: str, answers: list[Asked]) -> None:
    found = [answer.result for answer in answers if answer.method == method]
    assert found
    for result in found:
        faults = [misfits(shape, result) for shape in FIELDS[method]]
        assert [] in faults, min(faults, key=len)


NOTHING_TO_TELL: dict[str, set[str]] = {
    "persona.chat": {"reason"},
    "conversation.send_message": {"reason"},
    "system.models": {"reason", "last_answered_model"},
    "conversation.status": {"end_reason"},
    "memory.prune": {
        "memories_before",
        "memories_after",
        "memories_pruned",
        "processing_time",
        "average_importance_pruned",
        "average_importance_kept",
    },
}
"""Fields that are null while all is well (why a reply is degraded, say), or while there are not 900 memories."""


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.result is not None])
def test_every_field_of_every_result_was_on_the_wire(method: str, answers: list[Asked]) -> None:
    model = METHODS[method].result
    assert model is not None
    found = [answer.result for answer in answers if answer.method == method]
    for result in found:
        model.model_validate(result)
    told = {name for result in found for name, value in result.items() if value is not None}
    assert set(model.model_fields) - told - NOTHING_TO_TELL.get(method, set()) == set()


@pytest.mark.parametrize("method", sorted(FIELDS))
def test_what_lists_hold_was_seen(method: str, answers: list[Asked]) -> None:
    """An empty list would prove nothing of its elements."""
    found = [answer.result for answer in answers if answer.method == method]
    places = {place for shape in FIELDS[method] for place in lists_in(shape)}
    assert {place for place in places if not any(at(place, result) for result in found)} == set()


@pytest.mark.parametrize(
    ("expected", "found", "faults"),
    [
        ({"a": int}, {"a": 1, "b": 2}, []),
        ({"a": int}, {}, [".a is missing"]),
        ({"a": int}, {"a": True}, [".a is True"]),
        ({"a": float}, {"a": 1}, []),
        ({"a": None}, {"a": 1}, [".a is 1"]),
        ([{"a": str}], [{"a": "x"}, {"a": 1}], ["[].a is 1"]),
        ([str], "x", ["result is no list"]),
        ({"at": "time"}, {"at": "2026-05-09T08:00:00.000Z"}, []),
        ({"at": "time"}, {"at": "2026-05-09 08:00"}, [".at is '2026-05-09 08:00'"]),
    ],
)
def test_a_misfit_is_named(expected: Any, found: Any, faults: list[str]) -> None:
    assert misfits(expected, found) == faults
