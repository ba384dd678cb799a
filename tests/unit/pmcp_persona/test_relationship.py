"""How feelings move: the rule's own numbers, ranges, types by thresholds, and enemies who are not compatible."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_common.contracts.relationships import RelationshipType
from pmcp_persona.relationship import (
    GIVEN_ROLES,
    HOSTILE,
    Bond,
    arrange,
    compatibility,
    interact,
    past,
    strangers,
    strength,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = 60.0
signed = st.floats(-1, 1)
shares = st.floats(0, 1)
types = st.sampled_from(list(RelationshipType))


@st.composite
def bonds(draw: st.DrawFn) -> Bond:
    return Bond(
        draw(signed),
        draw(signed),
        draw(signed),
        draw(shares),
        draw(types),
        draw(st.integers(0, 50)),
        0.0,
        0.0,
        NOW,
        NOW,
    )


def bond(
    affinity: float = 0.0,
    trust: float = 0.0,
    respect: float = 0.0,
    intimacy: float = 0.0,
    kind: RelationshipType = RelationshipType.STRANGER,
) -> Bond:
    return replace(
        strangers(NOW), affinity=affinity, trust=trust, respect=respect, intimacy=intimacy, relationship_type=kind
    )


def test_half_an_hour_of_the_best_talk_moves_by_the_full_steps() -> None:
    after = interact(strangers(NOW), 1.0, 30 * MINUTE, NOW)
    assert (after.affinity, after.trust, after.respect, after.intimacy) == pytest.approx((0.05, 0.03, 0.04, 0.02))
    assert (after.interaction_count, after.total_seconds) == (1, 1800)


def test_a_longer_talk_weighs_no_more_than_half_an_hour() -> None:
    assert interact(strangers(NOW), 1.0, 300 * MINUTE, NOW).affinity == pytest.approx(0.05)


def test_a_bad_talk_takes_affinity_and_respect_but_no_trust() -> None:
    after = interact(strangers(NOW), -1.0, 30 * MINUTE, NOW)
    assert (after.affinity, after.trust, after.respect, after.intimacy) == pytest.approx((-0.05, 0, -0.04, 0))


def test_respect_needs_a_quality_beyond_a_half() -> None:
    assert interact(strangers(NOW), 0.5, 30 * MINUTE, NOW).respect == 0
    assert interact(strangers(NOW), -0.5, 30 * MINUTE, NOW).respect == 0


@pytest.mark.parametrize(("quality", "minutes"), [(0.3, 30), (1.0, 10), (-1.0, 60)])
def test_closeness_needs_a_good_talk_of_more_than_ten_minutes(quality: float, minutes: float) -> None:
    assert interact(strangers(NOW), quality, minutes * MINUTE, NOW).intimacy == 0


def test_turns_of_one_talk_add_up_to_closeness_and_a_pause_begins_a_new_talk() -> None:
    current, now = strangers(NOW), NOW
    for _ in range(21):
        now += timedelta(seconds=30)
        current = interact(current, 1.0, 30, now)
    assert current.intimacy == pytest.approx(0.001)
    later = interact(current, 1.0, 30, now + timedelta(hours=1))
    assert (later.intimacy, later.talk_seconds) == (current.intimacy, 30)


@given(bonds(), signed, st.floats(0, 86_400))
def test_feelings_stay_in_their_ranges(start: Bond, quality: float, seconds: float) -> None:
    after = interact(start, quality, seconds, NOW)
    assert all(-1 <= value <= 1 for value in (after.affinity, after.trust, after.respect, strength(after)))
    assert 0 <= after.intimacy <= 1
    assert 0 <= compatibility(after) <= 1


@given(bonds(), st.floats(0, 1), st.floats(0, 86_400))
def test_a_kind_word_never_makes_it_worse(start: Bond, quality: float, seconds: float) -> None:
    after = interact(start, quality, seconds, NOW)
    assert after.affinity >= start.affinity
    assert after.trust >= start.trust
    assert after.respect >= start.respect
    assert after.intimacy >= start.intimacy


@given(bonds())
def test_a_given_role_stays_and_other_types_follow_from_strength(start: Bond) -> None:
    after = interact(start, 0.0, 60, NOW)
    if start.relationship_type in GIVEN_ROLES:
        assert after.relationship_type is start.relationship_type
    else:
        assert (
            after.relationship_type
            is interact(replace(start, relationship_type=RelationshipType.FRIEND), 0, 60, NOW).relationship_type
        )


@pytest.mark.parametrize(
    ("feeling", "count", "kind"),
    [
        (0.0, 0, "stranger"),
        (0.0, 2, "acquaintance"),
        (0.35, 0, "friend"),
        (0.7, 0, "close_friend"),
        (-0.25, 0, "rival"),
        (-0.6, 0, "enemy"),
    ],
)
def test_types_have_thresholds_on_strength(feeling: float, count: int, kind: str) -> None:
    start = replace(bond(feeling, feeling, feeling), interaction_count=count)
    after = interact(start, 0.0, 60, NOW)
    assert after.relationship_type == kind


@given(bonds())
def test_two_who_are_hostile_by_strength_are_never_compatible(start: Bond) -> None:
    after = interact(replace(start, relationship_type=RelationshipType.STRANGER), 0.0, 0.0, NOW)
    if after.relationship_type in HOSTILE:
        assert compatibility(after) < 0.35


def test_the_worst_enemies_have_no_compatibility_at_all() -> None:
    assert compatibility(bond(-1, -1, -1, 1)) == 0


def test_good_feelings_score_as_the_original_has_it() -> None:
    assert compatibility(bond(0.5, 0.4, 0.2, 0.5)) == pytest.approx(
        1.2 * (0.3 * 0.5 + 0.25 * 0.4 + 0.25 * 0.2 + 0.2 * 0.5)
    )
    assert compatibility(bond(1, 1, 1, 1)) == 1


@given(bonds(), types, shares)
def test_a_strength_that_is_set_is_the_strength_it_has(start: Bond, kind: RelationshipType, wanted: float) -> None:
    after = arrange(start, kind, wanted, NOW)
    assert after.relationship_type is kind
    assert abs(strength(after)) == pytest.approx(wanted, abs=1e-9)
    assert all(-1 <= value <= 1 for value in (after.affinity, after.trust, after.respect))
    if wanted > 1e-9:
        assert (strength(after) < 0) is (kind in HOSTILE)


def test_a_strength_alone_gives_the_type_of_its_threshold() -> None:
    assert arrange(strangers(NOW), None, 0.8, NOW).relationship_type is RelationshipType.CLOSE_FRIEND


def test_a_type_alone_leaves_the_feelings() -> None:
    after = arrange(bond(0.1, 0.2, 0.3, 0.4), RelationshipType.MENTOR, None, NOW)
    assert (after.affinity, after.trust, after.respect, after.intimacy) == (0.1, 0.2, 0.3, 0.4)
    assert after.relationship_type is RelationshipType.MENTOR


@pytest.mark.parametrize("kind", ["close_friend", "friend", "acquaintance", "stranger", "rival", "enemy"])
@given(start=bonds())
def test_a_type_alone_that_contradicts_the_feelings_brings_its_own(start: Bond, kind: str) -> None:
    after = arrange(start, RelationshipType(kind), None, NOW)
    low, high = {
        "close_friend": (0.6, 1.0),
        "friend": (0.3, 0.6),
        "rival": (-0.5, -0.2),
        "enemy": (-1.0, -0.5),
    }.get(kind, (-0.2, 0.3))
    assert after.relationship_type == kind
    assert low <= strength(after) <= high


def test_a_type_alone_that_fits_leaves_the_feelings() -> None:
    start = arrange(strangers(NOW), None, 0.35, NOW)
    assert arrange(start, RelationshipType.FRIEND, None, NOW) == start


def test_only_friends_and_foes_have_a_past_that_counts() -> None:
    assert past(strangers(NOW)) is None
    assert past(interact(strangers(NOW), 0.4, 30, NOW)) is None
    friend = arrange(strangers(NOW), RelationshipType.FRIEND, None, NOW)
    assert past(friend) == compatibility(friend) > 0.2
    assert past(arrange(friend, RelationshipType.ENEMY, None, NOW)) == 0


def test_a_clock_behind_does_not_turn_time_back() -> None:
    assert interact(strangers(NOW), 1, 30, NOW - timedelta(hours=1)).last_interaction == NOW
