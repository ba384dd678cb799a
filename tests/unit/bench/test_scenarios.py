"""The settings say what the report promises, and a window's cost is the difference of its two ends."""

import pytest

from bench.__main__ import parse_options
from bench.processes import Crashed, Usage
from bench.runs import chosen_settings
from bench.scenarios import LONG, SHORT, Snapshot, all_settings, spent


def test_the_crowd_is_500_players_who_think_8_seconds_on_average_at_20_tokens_a_second() -> None:
    (crowd,) = all_settings(quick=False)["crowd"]
    plan = crowd.plan
    assert (plan.sockets, plan.seconds) == (500, 60.0)
    assert (plan.think_low_seconds + plan.think_high_seconds) / 2 == 8.0
    assert (crowd.tokens, 1_000 / crowd.gap_ms) == (40, 20.0)


def test_the_two_slope_settings_differ_in_the_reply_length_alone() -> None:
    short, long = all_settings(quick=False)["slope"]
    assert (short.name, long.name) == (SHORT, LONG)
    assert short.plan == long.plan
    assert (short.tokens, long.tokens) == (20, 100)
    longest_seconds = (long.ttft_ms + long.gap_ms * long.tokens) / 1_000
    assert longest_seconds < long.plan.pace_seconds


def test_settings_are_chosen_by_name_in_the_order_given() -> None:
    options = parse_options(["--quick", "--settings", "200,1"])
    assert [setting.plan.sockets for setting in chosen_settings(options)] == [200, 1]
    with pytest.raises(Crashed, match="unknown settings: 7"):
        chosen_settings(parse_options(["--settings", "1,7"]))


def test_a_window_costs_the_difference_of_its_ends_and_a_restarted_role_never_less_than_nothing() -> None:
    opened = Snapshot(0.0, {"worker": Usage(2.0, 50.0), "gateway": Usage(9.0, 60.0)}, 100)
    closed = Snapshot(10.0, {"worker": Usage(2.5, 55.0), "gateway": Usage(1.0, 40.0)}, 900)
    costs = spent(opened, closed)
    assert (costs["worker"].cpu_seconds, costs["worker"].rss_mb) == (0.5, 55.0)
    assert costs["gateway"].cpu_seconds == 0.0
