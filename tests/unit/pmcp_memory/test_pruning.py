"""Pruning takes the least worth and never what is safe."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pmcp_memory.pruning import Bounds, Prunable, choose, is_safe, keep_score, youth

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def memory(
    number: int, importance: float = 0.2, accesses: int = 1, days: float = 100, protected: bool = False
) -> Prunable:
    return Prunable(f"m{number:05}", importance, accesses, NOW - timedelta(days=days), protected)


@st.composite
def stores(draw: st.DrawFn) -> list[Prunable]:
    count = draw(st.integers(0, 60))
    return [
        memory(
            number,
            draw(st.floats(0, 1)),
            draw(st.integers(0, 12)),
            draw(st.floats(0, 200)),
            draw(st.booleans()),
        )
        for number in range(count)
    ]


@given(stores(), st.integers(1, 60))
def test_no_safe_memory_is_chosen_and_never_more_than_needed(store: list[Prunable], limit: int) -> None:
    chosen = set(choose(store, Bounds.of(limit), NOW))
    assert not any(is_safe(one, NOW) for one in store if one.id in chosen)
    assert len(store) - len(chosen) >= min(len(store), Bounds.of(limit).target)


@given(stores(), st.integers(1, 60))
def test_what_stays_of_the_unsafe_is_worth_at_least_as_much(store: list[Prunable], limit: int) -> None:
    chosen = set(choose(store, Bounds.of(limit), NOW))
    kept = [keep_score(one, NOW) for one in store if one.id not in chosen and not is_safe(one, NOW)]
    gone = [keep_score(one, NOW) for one in store if one.id in chosen]
    assert not kept or not gone or max(gone) <= min(kept)


def test_nothing_is_pruned_below_nine_tenths() -> None:
    bounds = Bounds.of(100)
    assert choose([memory(number) for number in range(89)], bounds, NOW) == []
    assert len(choose([memory(number) for number in range(90)], bounds, NOW)) == 10


@given(st.integers(10, 200), st.integers(0, 220), st.booleans())
def test_where_pruning_begins_something_is_chosen_and_elsewhere_nothing(limit: int, count: int, force: bool) -> None:
    bounds = Bounds.of(limit)
    begins = count > bounds.target if force else count >= bounds.start
    chosen = choose([memory(number) for number in range(count)], bounds, NOW, force=force)
    assert len(chosen) == bounds.excess(count, force=force) == (count - bounds.target if begins else 0)
    assert bool(chosen) is begins


@given(st.integers(10, 1_000_000))
def test_pruning_begins_at_nine_tenths_of_any_limit_and_stops_at_eight(limit: int) -> None:
    bounds = Bounds.of(limit)
    assert 0 <= 9 * limit - 10 * bounds.start < 10
    assert 0 <= 8 * limit - 10 * bounds.target < 10
    assert bounds.target < bounds.start


def test_youth_falls_from_a_week_to_three_months() -> None:
    ages = [youth(NOW - timedelta(days=days), NOW) for days in (0, 7, 48.5, 90, 400)]
    assert ages == [1.0, 1.0, 0.55, 0.1, 0.1]


def test_safe_is_what_matters_is_used_or_waits_for_its_first_recall() -> None:
    safe = [
        memory(1, importance=0.7),
        memory(2, accesses=5),
        memory(3, accesses=0, days=29),
        memory(4, protected=True),
    ]
    assert all(is_safe(one, NOW) for one in safe)
    assert not is_safe(memory(5, importance=0.69, accesses=4), NOW)
    assert not is_safe(memory(6, accesses=0, days=31), NOW)
