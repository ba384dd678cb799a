"""The comparison of two stacks: medians of what was measured by turns, held against the aims."""

from __future__ import annotations

from bench.figures import Figures
from bench.guarantees import GUARDED, UNGUARDED, compare, order_of, report
from bench.scenarios import System


def measured(system: str, replies: float, ttft: float, **faults: int) -> Figures:
    return Figures(
        system=system,
        setting="50 sockets",
        replies_per_s=replies,
        tokens_per_s=0.0,
        ttft_ms={"p50": ttft},
        overhead_ms={},
        faults={"wrong_markers": 0, "degraded": 0} | faults,
        cpu_ms_per_s={},
        cpu_ms_per_reply={},
        cpu_us_per_token={},
        rss_mb={},
    )


def test_medians_are_compared_and_a_lucky_run_decides_nothing() -> None:
    runs = [measured(GUARDED, 90, 60), measured(GUARDED, 85, 62), measured(GUARDED, 200, 1)]
    (one,) = compare([*runs, *(measured(UNGUARDED, 100, 55) for _ in range(3))])
    assert (one.runs, one.replies_with, one.ttft_with_ms) == (3, 90, 60)
    assert (round(one.lost_share, 2), one.added_ms, one.met) == (0.1, 5, True)


def test_either_aim_missed_is_a_miss_and_so_is_a_wrong_reply() -> None:
    fine = measured(UNGUARDED, 100, 50)
    (slow,) = compare([measured(GUARDED, 79, 50), fine])
    (late,) = compare([measured(GUARDED, 100, 61), fine])
    (wrong,) = compare([measured(GUARDED, 100, 50, wrong_markers=1), fine])
    assert not any(one.met for one in (slow, late, wrong))
    assert "missed" in report([slow])


def test_the_two_take_turns_in_being_first() -> None:
    systems = [System(name, "", dict) for name in (GUARDED, UNGUARDED)]
    assert [order_of(turn, systems)[0].name for turn in range(3)] == [GUARDED, UNGUARDED, GUARDED]
