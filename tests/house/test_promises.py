"""promises.toml in both directions: every promise has its method, field and test; every method, parameter, field,
number and proof has its promise."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from pmcp_common.contracts import frames
from pmcp_common.contracts.jobs import End
from pmcp_common.contracts.methods import METHODS
from tests.house.sources import ROOT

MANIFEST = tomllib.loads((ROOT / "tests/house/promises.toml").read_text())
PROMISES: list[dict[str, Any]] = MANIFEST["promise"]
SWEEPS: list[dict[str, Any]] = MANIFEST["sweep"]
NUMBERS: list[dict[str, Any]] = MANIFEST["number"]
RESULTS = "results"
"""A sweep over every field of every result."""


@cache
def found_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def several(row: Mapping[str, Any], name: str) -> list[str]:
    """`method` or `methods`, `field` or `fields`."""
    found: list[str] = row.get(f"{name}s") or [row[name]]
    return found


def results_of(name: str) -> set[str]:
    method = METHODS[name]
    if method.result is not None:
        return set(method.result.model_fields)
    end = End("s", 1, 1, "done", "stop", "", "", "m", "u", "p", "Aria")
    return set(frames.end_result(end, "e", "t"))


def parameters_of(name: str) -> set[str]:
    return set(METHODS[name].params.model_fields)


def title(row: Mapping[str, Any]) -> str:
    return f"{several(row, 'method')[0]}-{several(row, 'field')[0]}"


@pytest.mark.parametrize("promise", PROMISES, ids=title)
def test_a_promise_names_methods_and_fields_that_are_there(promise: dict[str, Any]) -> None:
    for method in several(promise, "method"):
        assert set(several(promise, "field")) <= parameters_of(method) | results_of(method), method


@pytest.mark.parametrize("row", [*PROMISES, *SWEEPS, *NUMBERS], ids=lambda row: str(row["rule"]))
def test_a_promise_is_proven_by_a_test_that_is_there(row: dict[str, Any]) -> None:
    path, _, name = row["test"].partition("::")
    assert name in found_in(path)


def test_every_method_promises_something_of_its_own() -> None:
    assert METHODS.keys() - {method for promise in PROMISES for method in several(promise, "method")} == set()


@pytest.mark.parametrize("method", METHODS)
def test_every_parameter_and_field_of_a_method_is_promised(method: str) -> None:
    promised = {
        field for promise in PROMISES if method in several(promise, "method") for field in several(promise, "field")
    }
    swept = {field for sweep in SWEEPS if sweep["fields"] != RESULTS for field in sweep["fields"]}
    assert parameters_of(method) - promised - swept == set()
    assert any(sweep["fields"] == RESULTS for sweep in SWEEPS)


def test_every_proof_belongs_to_a_promise() -> None:
    named = {row["test"] for row in (*PROMISES, *SWEEPS, *NUMBERS)}
    proofs = {f"{path}::{name}" for path in MANIFEST["proofs"] for name in found_in(path)}
    assert proofs - named == set()


# ---- numbers


def value_at(path: str) -> Any:
    """Of `package.module.NAME`, with attributes and places of tuples after it."""
    module = next(one for one in MODULES if path.startswith(f"{one}."))
    found: Any = importlib.import_module(module)
    for part in path.removeprefix(f"{module}.").split("."):
        found = found[int(part)] if part.isdigit() else getattr(found, part)
    return found


MODULES = [*MANIFEST["rules"], "pmcp_llm_worker.turn_outcome"]
CONSTANTS = [(path, value) for number in NUMBERS for path, value in number.get("constants", {}).items()]


@pytest.mark.parametrize(("path", "value"), CONSTANTS)
def test_a_number_is_what_existing_clients_know(path: str, value: Any) -> None:
    assert value_at(path) == value


def numbers_in(module: str) -> Iterator[str]:
    """Constants that are, or hold, a number."""
    for name, value in vars(importlib.import_module(module)).items():
        if name.isupper() and not name.startswith("_") and _holds_number(value):
            yield f"{module}.{name}"


def _holds_number(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_number(one) for one in value.values())
    if isinstance(value, tuple):
        return any(_holds_number(one) for one in value)
    if hasattr(value, "temperature"):
        return True
    return isinstance(value, int | float) and not isinstance(value, bool)


@pytest.mark.parametrize("module", MANIFEST["rules"])
def test_every_number_of_a_rule_is_promised_or_this_projects_own(module: str) -> None:
    promised = {path for path, _ in CONSTANTS} | set(MANIFEST["own"])
    unpromised = {
        name for name in numbers_in(module) if not any(f"{path}.".startswith(f"{name}.") for path in promised)
    }
    imported = {name for name in unpromised if _home_of(name) != module}
    assert unpromised - imported == set()


def _home_of(path: str) -> str:
    """The module whose source assigns the name; others import it."""
    module, _, name = path.rpartition(".")
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    with open(spec.origin, encoding="utf-8") as source:
        tree = ast.parse(source.read())
    targets = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for outer in (node.targets if isinstance(node, ast.Assign) else [node.target])
        for target in (outer.elts if isinstance(outer, ast.Tuple) else [outer])
        if isinstance(target, ast.Name)
    }
    return module if name in targets else ""


def test_what_is_this_projects_own_is_there() -> None:
    assert [path for path in MANIFEST["own"] if value_at(path) is None] == []
