"""The continue score: known values of the rule, and bounds that always hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_common.contracts.personas import Priority
from pmcp_llm_worker.continue_score import OtherSide, drift_count, score_continuation, topic_preference
from tests.unit.pmcp_llm_worker.doubles import aria, standing

STATES = st.builds(
    lambda time, energy, fatigue, priority: standing(
        available_time=time, social_energy=energy, interaction_fatigue=fatigue, current_priority=priority
    ),
    st.integers(0, 2000),
    st.integers(0, 200),
    st.integers(0, 500),
    st.sampled_from(list(Priority)),
)
PERSONAS = st.builds(
    lambda charisma, rank, time, music: aria(
        charisma=charisma, social_rank=rank, available_time=time, topic_preferences={"music": music}
    ),
    st.integers(1, 20),
    st.sampled_from(["royalty", "nobility", "merchant", "commoner", "peasant", "pirate"]),
    st.integers(0, 2000),
    st.integers(0, 100),
)


def test_a_rested_commoner_on_a_dear_topic() -> None:
    score = score_continuation(aria(), standing(), "Shall we play music?", tokens_left=500)
    assert score.time == 30
    assert score.topic == pytest.approx((0.7 * 72.5 + 0.3 * 50) / 4)
    assert score.social == 8  # (0.8 * 10 + 8) / 2
    assert (score.fatigue, score.history, score.resources) == (0, 0, 10)
    assert score.total == pytest.approx(64.4, abs=0.1)


@pytest.mark.parametrize(
    ("rank", "points"), [("royalty", 5), ("nobility", 6), ("merchant", 7), ("commoner", 8), ("peasant", 7)]
)
def test_rank_counts_by_its_distance(rank: str, points: float) -> None:
    assert score_continuation(aria(social_rank=rank), standing(), "Hi", tokens_left=500).social == points


@pytest.mark.parametrize(("priority", "time"), [("urgent", 0), ("important", 24), ("none", 24), ("social", 28)])
def test_time_runs_out_faster_for_the_busy(priority: str, time: float) -> None:
    state = standing(available_time=540, current_priority=priority)
    assert score_continuation(aria(), state, "Hi", tokens_left=500).time == time


def test_a_topic_is_found_by_its_words() -> None:
    assert topic_preference(aria().topic_preferences, "Any local news about MUSIC?") == 95
    assert topic_preference(aria().topic_preferences, "Any local news?") == 60
    assert topic_preference(aria().topic_preferences, "Hello") == 50


@pytest.mark.parametrize(
    ("topic", "lines", "count"),
    [
        ("local_news", ["Any news?", "None.", "A pity."], 2),
        ("local_news", ["None.", "Some local gossip, then."], 0),
        ("local_news", [], 0),
        ("general", ["Hm.", "Yes.", "Well."], 0),
        (None, ["Hm.", "Yes.", "Well."], 0),
    ],
)
def test_lines_in_a_row_off_the_topic_are_counted(topic: str | None, lines: list[str], count: int) -> None:
    assert drift_count(topic, lines) == count


@pytest.mark.parametrize(("drifted", "points"), [(2, 12.5), (3, 7.5)])
def test_a_talk_that_has_left_its_topic_draws_less(drifted: int, points: float) -> None:
    score = score_continuation(aria(), standing(), "Hm", tokens_left=500, drift_count=drifted)
    assert score.topic == pytest.approx(points)


def test_between_two_personas_both_sheets_and_their_past_count() -> None:
    noble = OtherSide(charisma=12, social_rank="nobility", topic_preferences={"music": 15}, compatibility=0.8)
    score = score_continuation(aria(), standing(), "music", tokens_left=500, other=noble)
    assert score.topic == pytest.approx((0.7 * 55 + 0.3 * 15) / 4)
    assert score.social == pytest.approx((0.8 * 12 + 4) / 2)
    assert score.history == pytest.approx(7.5)
    assert score.parts()["history"] == 7.5


@pytest.mark.parametrize(("compatibility", "points"), [(None, 0.0), (0.0, -2.5), (1.0, 10.0)])
def test_a_past_counts_when_there_is_one(compatibility: float | None, points: float) -> None:
    other = OtherSide(compatibility=compatibility)
    assert score_continuation(aria(), standing(), "Hi", tokens_left=500, other=other).history == points


@given(PERSONAS, STATES, st.text(max_size=50), st.integers(0, 2000), st.integers(0, 9))
def test_each_part_keeps_its_bounds(
    persona: object, state: object, message: str, tokens_left: int, drift_count: int
) -> None:
    score = score_continuation(persona, state, message, tokens_left=tokens_left, drift_count=drift_count)  # type: ignore[arg-type]
    assert 0 <= score.time <= 30
    assert 0 <= score.topic <= 25
    assert 0 <= score.social <= 20
    assert 0 <= score.fatigue <= 15
    assert 0 <= score.resources <= 10
    assert 0 <= score.total <= 100


@given(PERSONAS, STATES, st.integers(0, 100))
def test_fatigue_never_raises_the_score(persona: object, state: object, more: int) -> None:
    tired = state.model_copy(update={"interaction_fatigue": state.interaction_fatigue + more})  # type: ignore[attr-defined]
    before = score_continuation(persona, state, "Hi", tokens_left=100)  # type: ignore[arg-type]
    after = score_continuation(persona, tired, "Hi", tokens_left=100)  # type: ignore[arg-type]
    assert after.total <= before.total
