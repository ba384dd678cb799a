"""Files and functions stay readable, modules have names and docstrings, and nothing depends on this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.house.sources import ROOT, badly_named, over_budget, python_files, undocumented


def test_files_and_functions_keep_their_budgets() -> None:
    assert [fault for path in python_files() for fault in over_budget(path)] == []


def test_module_names_say_what_is_inside() -> None:
    assert [fault for path in python_files() for fault in badly_named(path)] == []


def test_every_module_says_which_boundary_it_keeps() -> None:
    assert [fault for path in python_files() for fault in undocumented(path)] == []


@pytest.mark.parametrize(
    ("name", "text", "check"),
    [
        ("long_file.py", "x = 1\n" * 401, over_budget),
        ("long_function.py", "def f():\n" + "    x = 1\n" * 51, over_budget),
        ("utils.py", '"""Anything."""\n', badly_named),
        ("bare.py", "x = 1\n", undocumented),
    ],
)
def test_a_planted_fault_is_found(tmp_path: Path, name: str, text: str, check: object) -> None:
    planted = tmp_path / name
    planted.write_text(text)
    assert callable(check)
    assert list(check(planted)) != []


def test_tracked_files_name_no_registry_and_no_path_of_a_machine() -> None:
    pattern = "|".join(
        [
            r"(resolved|index-url|find-links) *[:= ] *\"?https?://",
            r"https?://(pypi|files\.pythonhosted|registry\.npmjs|deb\.debian)\.",
            "/" + r"work/main",
            "/" + "root/",
            r"\.\./" + "shared",
        ]
    )
    found = subprocess.run(
        ["git", "grep", "-nIE", pattern], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    assert found == ""
