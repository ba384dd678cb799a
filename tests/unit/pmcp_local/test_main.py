"""The way in: an old Python and a missing package are one sentence each."""

from __future__ import annotations

import sys

import pytest

from pmcp_local import __main__


def test_an_old_python_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    assert __main__.main() == 1
    assert capsys.readouterr().err == "Persona MCP needs Python 3.11 or newer; this is 3.9.\n"


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "pmcp_local.cli", None)
    assert __main__.main() == 1
    assert capsys.readouterr().err.startswith("The Python package pmcp_local.cli is missing; install")
