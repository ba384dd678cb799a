"""How well two personas fit: shares, symmetry, scales of traits, and feelings that cap it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_common.contracts.personas import Persona
from pmcp_common.contracts.relationships import RelationshipType
from pmcp_persona.compatibility import analyse, interests, label, personality, social
from pmcp_persona.relationship import Bond, strangers

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def persona(name: str = "Aria", **fields: Any) -> Persona:
    return Persona(id=name.lower(), version=1, name=name, created_at=NOW, **fields)


names = st.sampled_from(["openness", "friendliness", "curious", "humor", "shy", "temper"])
values = st.one_of(st.integers(-5, 120), st.floats(0, 1), st.booleans(), st.sampled_from(["high", "low", "odd", "7"]))
personas = st.builds(
    lambda traits, topics, liked, charisma, rank: persona(
        personality_traits=traits, topic_preferences=topics, interests=liked, charisma=charisma, social_rank=rank
    ),
    st.dictionaries(names, values),
    st.dictionaries(st.sampled_from(["music", "books", "war"]), st.integers(0, 100)),
    st.lists(st.sampled_from(["music", "star maps"])),
    st.integers(1, 20),
    st.sampled_from(["royalty", "peasant", "Commoner", "pirate"]),
)


@st.composite
def bonds(draw: st.DrawFn) -> Bond:
    signed = st.floats(-1, 1)
    return replace(
        strangers(NOW),
        affinity=draw(signed),
        trust=draw(signed),
        respect=draw(signed),
        intimacy=draw(st.floats(0, 1)),
        relationship_type=draw(st.sampled_from(list(RelationshipType))),
    )


@given(personas, personas, st.none() | bonds())
def test_it_is_the_same_from_both_sides_and_in_range(one: Persona, other: Persona, bond: Bond | None) -> None:
    there, back = analyse(one, other, bond), analyse(other, one, bond)
    assert there.analysis == back.analysis
    assert there.suggestions == back.suggestions
    assert 0 <= there.analysis.overall <= 1


@given(personas, personas, bonds())
def test_enemies_are_difficult_and_rivals_at_best_challenging(one: Persona, other: Persona, bond: Bond) -> None:
    for kind, most in ((RelationshipType.ENEMY, {"difficult"}), (RelationshipType.RIVAL, {"difficult", "challenging"})):
        assert analyse(one, other, replace(bond, relationship_type=kind)).analysis.prediction in most


def test_the_whole_is_the_parts_by_their_shares() -> None:
    parts = analyse(persona(personality_traits={"openness": 0.9}), persona("Kira", charisma=18), None).analysis
    expected = 0.35 * parts.personality + 0.25 * parts.social + 0.25 * parts.interests + 0.15 * parts.history
    assert parts.overall == pytest.approx(expected, abs=1e-4)


def test_what_is_not_known_is_average() -> None:
    parts = analyse(persona(), persona("Kira"), None).analysis
    assert (parts.personality, parts.interests, parts.history) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("same", [{"openness": 0.8}, {"openness": 8}, {"openness": 80}, {"openness": "0.8"}])
def test_the_same_trait_on_another_scale_is_the_same_trait(same: dict[str, Any]) -> None:
    alike = personality(persona(personality_traits={"openness": 0.8}), persona(personality_traits=same))
    assert alike == pytest.approx(0.2 + 0.8 * 0.5)


def test_one_trait_in_common_does_not_make_two_alike() -> None:
    one = persona(personality_traits={"curious": 85, "shy": 60})
    other = persona(personality_traits={"curious": 85, "shy": 60})
    assert personality(one, other) == pytest.approx((0.2 + 0.8 * 0.5 + 0.1) / 1.1)


def test_the_five_have_their_weights() -> None:
    one = persona(personality_traits={"extraversion": 1.0, "conscientiousness": 1.0})
    other = persona(personality_traits={"extraversion": 0.0, "conscientiousness": 1.0})
    assert personality(one, other) == pytest.approx(0.15 + 0.6 * 0.5)


def test_names_of_clients_mean_the_five() -> None:
    one = persona(personality_traits={"friendliness": 9, "humor": 2})
    other = persona(personality_traits={"agreeableness": 0.9, "extraversion": 0.2})
    assert personality(one, other) == pytest.approx(0.5 + 0.5 * 0.5)


def test_equal_ranks_and_charm_go_together() -> None:
    assert social(persona(charisma=20), persona(charisma=20)) == 1
    apart = social(persona(social_rank="royalty"), persona(social_rank="peasant"))
    assert apart < social(persona(), persona())


def test_what_both_love_brings_them_together_and_is_recommended() -> None:
    one = persona(topic_preferences={"music": 95, "gossip": 65}, interests=("Star maps",))
    other = persona("Kira", topic_preferences={"music": 90, "gossip": 10, "star_maps": 85})
    assert interests(one, other) > interests(one, persona(topic_preferences={"music": 5}))
    suggestions = analyse(one, other, None).suggestions
    assert suggestions.recommended_topics == ("music", "star_maps")
    assert "Different views on gossip" in suggestions.potential_challenges


def test_what_is_a_challenge_is_not_recommended() -> None:
    one = persona(topic_preferences={"history": 50, "magic": 60})
    other = persona("Kira", topic_preferences={"history": 95, "magic": 70})
    suggestions = analyse(one, other, None).suggestions
    assert suggestions.recommended_topics == ("magic",)
    assert suggestions.potential_challenges == ("Different views on history",)


@pytest.mark.parametrize(
    ("overall", "said"),
    [(0.81, "excellent"), (0.8, "very_good"), (0.65, "good"), (0.5, "challenging"), (0.35, "difficult")],
)
def test_labels_begin_above_their_limits(overall: float, said: str) -> None:
    assert label(overall) == said
