"""One relationship in the forms existing clients read."""

from __future__ import annotations

from datetime import UTC, datetime

from pmcp_common.contracts.relationships import Relationship, RelationshipEvent, RelationshipType
from pmcp_gateway.methods import relationship_views

THEN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(cause: str, quality: float, minutes: float) -> RelationshipEvent:
    return RelationshipEvent(
        cause_id=cause,
        happened_at=THEN,
        quality=quality,
        duration_seconds=minutes * 60,
        context="conversation",
        affinity_change=0.01,
        trust_change=0,
        respect_change=0,
        intimacy_change=0,
        relationship_type=RelationshipType.STRANGER,
    )


FOUND = Relationship(
    persona_id="aria",
    other_id="kira",
    other_name="Kira",
    affinity=-0.5,
    trust=-0.5,
    respect=-0.5,
    intimacy=0.0,
    relationship_type=RelationshipType.RIVAL,
    interaction_count=3,
    total_interaction_time=41,
    compatibility_score=0.0,
    relationship_strength=-0.45,
    first_meeting=THEN,
    last_interaction=THEN,
    history=(event("praise", 0.9, 1), event("walk", 0.0, 30), event("quarrel", -0.6, 10)),
)


def test_the_history_is_sorted_into_what_it_was() -> None:
    seen = relationship_views.pair(FOUND)
    assert [one.cause_id for one in seen.history] == ["praise", "walk", "quarrel"]
    assert [one.cause_id for one in seen.memorable_moments] == ["praise"]
    assert [one.cause_id for one in seen.shared_experiences] == ["walk", "quarrel"]
    assert [one.cause_id for one in seen.conflict_history] == ["quarrel"]


def test_a_bad_feeling_is_strong_too_in_the_form_that_has_no_sign() -> None:
    seen = relationship_views.target(FOUND)
    assert (seen.strength, seen.relationship_strength) == (0.45, -0.45)


def test_times_are_in_the_one_form_of_the_wire() -> None:
    assert relationship_views.item(FOUND).last_interaction == "2026-03-01T12:00:00.000Z"
