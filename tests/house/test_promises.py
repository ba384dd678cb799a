"""promises.toml in both directions: every promise has its method, field and test; every method and proof a promise."""

from __future__ import annotations

import ast
import tomllib
from functools import cache

import pytest

from pmcp_common.contracts import frames
from pmcp_common.contracts.jobs import End
from pmcp_common.contracts.methods import METHODS
from tests.house.sources import ROOT

MANIFEST = tomllib.loads((ROOT / "tests/house/promises.toml").read_text())
PROMISES: list[dict[str, str]] = MANIFEST["promise"]


@cache
def found_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def fields_of(name: str) -> set[str]:
    method = METHODS[name]
    if method.result is not None:
        return {*method.params.model_fields, *method.result.model_fields}
    end = frames.end_result(End("s", 1, 1, "done", "stop", "", "", "m", "u", "p", "Aria"), "e", "t")
    return {*method.params.model_fields, *end}


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: f"{promise['method']}-{promise['field']}")
def test_a_promise_names_a_method_a_field_and_a_test_that_are_there(promise: dict[str, str]) -> None:
    assert promise["method"] in METHODS
    assert promise["field"] in fields_of(promise["method"])
    path, _, name = promise["test"].partition("::")
    assert name in found_in(path)


def test_every_method_promises_something() -> None:
    assert METHODS.keys() - {promise["method"] for promise in PROMISES} == set()


def test_every_proof_belongs_to_a_promise() -> None:
    named = {promise["test"] for promise in PROMISES}
    proofs = {f"{path}::{name}" for path in MANIFEST["proofs"] for name in found_in(path)}
    assert proofs - named == set()
