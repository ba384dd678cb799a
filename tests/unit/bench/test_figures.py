"""Figures are computed message by message, and no fault disappears in a median."""

import pytest

from bench.figures import (
    Cost,
    Figures,
    Window,
    make_figures,
    median_of,
    overheads,
    percentiles,
    render_costs,
    render_faults,
    render_slopes,
    render_speed,
    render_table,
    render_timings,
    token_slope,
)


def figures(**changes: object) -> Figures:
    values: dict[str, object] = {
        "system": "relay",
        "setting": "50 sockets",
        "replies_per_s": 60.0,
        "tokens_per_s": 2_400.0,
        "ttft_ms": {"p50": 56.0, "p95": 60.0, "p99": 70.0},
        "overhead_ms": {"p50": 6.0, "p95": 10.0, "p99": 20.0},
        "faults": {"wrong_markers": 0},
        "cpu_ms_per_s": {"worker": 100.0, "gateway": 50.0},
        "cpu_ms_per_reply": {"worker": 1.6},
        "cpu_us_per_token": {"worker": 41.0},
        "rss_mb": {"worker": 50.0},
    }
    return Figures(**(values | changes))  # type: ignore[arg-type]  # a test's shorthand for one field


def test_percentiles_use_the_nearest_rank() -> None:
    assert percentiles(range(1, 101)) == {"p50": 51, "p95": 96, "p99": 100}
    assert percentiles([7.0]) == {"p50": 7.0, "p95": 7.0, "p99": 7.0}
    assert percentiles([]) == {}


def test_overhead_is_taken_for_each_message_the_server_knows() -> None:
    samples = [("[[a]]", 60.0, 900.0), ("[[b]]", 75.0, 900.0), ("[[lost]]", 1.0, 2.0)]
    assert overheads(samples, {"[[a]]": 51.0, "[[b]]": 50.0}) == [9.0, 25.0]


def test_figures_divide_cpu_by_what_the_window_held() -> None:
    result = {
        "samples": [("[[a]]", 60.0, 900.0), ("[[x]]", 61.0, 900.0)],
        "errors": {"chat -32603": 2},
        "wrong_markers": 1,
        "torn": 0,
        "stuck": 0,
        "degraded": 0,
        "timings": {"pickup_ms": [1.0, 2.0, 3.0]},
    }
    made = make_figures("path", "x", result, {"[[a]]": 50.0}, Window(10.0, 100, 4_000), {"worker": Cost(0.4, 80.0)})
    assert (made.replies_per_s, made.tokens_per_s) == (10.0, 400.0)
    assert made.cpu_ms_per_reply == {"worker": 4.0}
    assert made.cpu_us_per_token == {"worker": 100.0}
    assert made.overhead_ms["p50"] == 10.0
    assert made.faults["error: chat -32603"] == 2
    assert (made.faults["wrong_markers"], made.faults["unmatched"]) == (1, 1)
    assert made.timings_ms["pickup_ms"]["p50"] == 2.0


def test_an_empty_window_gives_no_costs_instead_of_a_division_by_zero() -> None:
    result = {"samples": [], "errors": {}, "wrong_markers": 0, "torn": 0, "stuck": 0, "degraded": 0}
    made = make_figures("path", "x", result, {}, Window(5.0, 0, 0), {"worker": Cost(0.4, 80.0)})
    assert made.cpu_us_per_token == {}
    assert render_speed([made])
    assert render_costs([made])


def test_the_median_is_by_field_and_faults_are_summed() -> None:
    runs = [
        figures(replies_per_s=rate, overhead_ms={"p50": over}, faults={"wrong_markers": 0, "stuck": stuck})
        for rate, over, stuck in ((10.0, 5.0, 0), (30.0, 9.0, 1), (20.0, 7.0, 2))
    ]
    middle = median_of(runs)
    assert middle.replies_per_s == 20.0
    assert middle.overhead_ms == {"p50": 7.0}
    assert middle.faults == {"wrong_markers": 0, "stuck": 3}


def test_the_slope_is_cpu_of_the_additional_tokens_only() -> None:
    short = figures(tokens_per_s=400.0, cpu_ms_per_s={"worker": 100.0, "gateway": 40.0, "valkey": 4.0})
    long = figures(tokens_per_s=4_400.0, cpu_ms_per_s={"worker": 220.0, "gateway": 120.0, "valkey": 8.0, "model": 9.0})
    slope = token_slope(short, long)
    assert slope["worker"] == 30.0
    assert slope["relayed"] == 30.0 + 20.0 + 1.0
    assert token_slope(long, short) == {}


def test_the_slope_table_states_the_ratio_when_both_systems_ran() -> None:
    text = render_slopes({"relay": {"relayed": 50.0}, "path": {"relayed": 70.0}})
    assert "1.40" in text
    assert "path / relay" not in render_slopes({"relay": {"relayed": 50.0}})


def test_a_table_aligns_its_columns() -> None:
    lines = render_table(["setting", "system", "n"], [["a", "relay", "1"], ["bb", "path", "100"]]).splitlines()
    assert lines[0] == "setting  system    n"
    assert lines[2] == "a        relay     1"
    assert lines[3] == "bb       path    100"


def test_tables_name_every_fault_and_leave_out_what_was_not_measured() -> None:
    bad = figures(faults={"wrong_markers": 2, "stuck": 1, "error: socket lost": 3})
    row = render_speed([bad]).splitlines()[-1]
    assert row.endswith("3      2  1 stuck")
    assert "3 x error: socket lost" in render_faults([bad])
    assert render_faults([figures()]) == ""
    assert render_timings([figures()]) == ""
    assert "pickup_ms" in render_timings([figures(timings_ms={"pickup_ms": {"p50": 1.5}})])


@pytest.mark.parametrize("role", ["postgres", "memory"])
def test_roles_only_one_system_has_show_a_dash_for_the_other(role: str) -> None:
    path = figures(system="path", rss_mb={"worker": 60.0, role: 90.0})
    relay_row = render_costs([figures(), path]).splitlines()[2]
    assert relay_row.endswith("-")
