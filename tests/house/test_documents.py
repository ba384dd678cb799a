"""Pages for people: their links lead somewhere, and the README stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.sources import ROOT

LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
README_MAX_LINES = 150


def dead_links(page: Path) -> list[str]:
    return [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    assert dead_links(page) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("See [this](nowhere.md) and [that](https://example.org/x).")
    assert dead_links(page) == ["nowhere.md"]


def test_the_readme_can_be_read_in_one_sitting() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_MAX_LINES


def test_every_decision_fits_one_screen() -> None:
    assert {page.name: len(page.read_text().splitlines()) for page in (ROOT / "docs" / "decisions").glob("*.md")}
    assert all(len(page.read_text().splitlines()) <= 50 for page in (ROOT / "docs" / "decisions").glob("*.md"))
