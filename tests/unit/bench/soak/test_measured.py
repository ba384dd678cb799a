"""What fault tests measured is kept with its bound, sample by sample, and shown as a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.soak.figures import Cost
from bench.soak.measured import Findings, Measured, lines, merged, read, shown, table, write
from bench.soak.report import BEGIN, END, with_report


def test_samples_of_one_thing_from_several_tests_are_one_row_in_the_order_of_the_faults() -> None:
    first, later = Measured("F10", "b", (1.0,)), Measured("F2", "a", (2.0,), bound=5.0)
    rows = merged([first, later, Measured("F2", "a", (4.0, 3.0), bound=5.0)])
    assert [(one.fault, one.samples) for one in rows] == [("F2", (2.0, 4.0, 3.0)), ("F10", (1.0,))]


def test_a_share_decides_which_sample_is_held_against_the_bound() -> None:
    samples = tuple(float(number) for number in range(100))
    assert Measured("F1", "a", samples, share=0.95).decisive == 95.0
    assert Measured("F1", "a", samples).decisive == 99.0


def test_a_row_shows_percentiles_and_what_was_promised() -> None:
    rows = table([Measured("F1", "back", (0.05, 0.2, 1.5), bound=0.15, share=0.95)])
    assert rows[2] == "| F1 | back | 3 | 200 ms | 1.5 s | 1.5 s | p95 ≤ 150 ms |"
    assert lines([Measured("F9", "more memory", (8.4,), "MB", 100.0)]) == [
        "F9   more memory: p50 8 MB, longest 8 MB of 1"
    ]


@pytest.mark.parametrize(("value", "unit", "text"), [(0.0421, "s", "42 ms"), (2.25, "s", "2.2 s"), (8.4, "MB", "8 MB")])
def test_figures_are_short(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text


def test_findings_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    cost = Cost("worker kill", 1, 1.0, 2.0, 3.0, 4.0, 0.5, 0.5)
    findings = Findings((Measured("F1", "a", (1.0, 2.0), bound=3.0),), (cost,), 7, 0)
    write(tmp_path / "new" / "figures.json", findings)
    assert read(tmp_path / "new" / "figures.json") == findings


def test_a_page_keeps_all_but_its_marked_part() -> None:
    page = f"# Title\n\n{BEGIN}\nold\n{END}\n\nRest\n"
    assert with_report(page, "new\n") == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nRest\n"
    with pytest.raises(ValueError, match="marks"):
        with_report("# Title", "new")
