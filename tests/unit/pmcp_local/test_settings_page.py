"""docs/configuration.md is what the settings classes say."""

from __future__ import annotations

from pmcp_local.settings_page import render
from tests.house.sources import ROOT


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs/configuration.md").read_text() == render()


def test_a_setting_that_several_processes_read_has_one_row() -> None:
    rows = [line for line in render().splitlines() if line.startswith("| `PMCP_LOG_LEVEL`")]
    assert len(rows) == 1
    assert "gateway" in rows[0]
    assert "memory" in rows[0]
