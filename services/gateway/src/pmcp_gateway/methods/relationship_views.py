"""One relationship in each of the forms existing clients read. Pure."""

from __future__ import annotations

from typing import Any

from pmcp_common.contracts.relationship_models import (
    PlayerRelationship,
    RelationshipChanges,
    RelationshipEventItem,
    RelationshipItem,
    RelationshipObject,
    RelationshipTarget,
    UpdatedRelationship,
)
from pmcp_common.contracts.relationships import Relationship, RelationshipEvent
from pmcp_gateway.timestamps import timestamp

SHARED_MINUTES = 10.0
MEMORABLE_QUALITY = 0.7
CONFLICT_QUALITY = -0.3


def pair(found: Relationship) -> RelationshipObject:
    events = [_event(event) for event in found.history]
    return RelationshipObject(
        **_feelings(found),
        persona1_id=found.persona_id,
        persona2_id=found.other_id,
        total_interaction_time=found.total_interaction_time,
        first_meeting=timestamp(found.first_meeting),
        shared_experiences=[event for event in events if event.duration_minutes >= SHARED_MINUTES],
        memorable_moments=[event for event in events if event.quality >= MEMORABLE_QUALITY],
        conflict_history=[event for event in events if event.quality <= CONFLICT_QUALITY],
        history=events,
    )


def player_pair(found: Relationship) -> PlayerRelationship:
    return PlayerRelationship(
        **_feelings(found),
        persona_id=found.persona_id,
        player_id=found.other_id,
        total_interaction_time=found.total_interaction_time,
        first_meeting=timestamp(found.first_meeting),
        history=[_event(event) for event in found.history],
    )


def item(found: Relationship) -> RelationshipItem:
    return RelationshipItem(
        **_feelings(found), other_persona_id=found.other_id, other_persona_name=found.other_name or ""
    )


def target(found: Relationship) -> RelationshipTarget:
    return RelationshipTarget(
        target_persona_id=found.other_id,
        target_persona_name=found.other_name or "",
        relationship_type=found.relationship_type.value,
        strength=abs(found.relationship_strength),
        relationship_strength=found.relationship_strength,
        last_interaction=timestamp(found.last_interaction),
    )


def updated(found: Relationship) -> UpdatedRelationship:
    feelings = _feelings(found)
    return UpdatedRelationship(**{name: feelings[name] for name in UpdatedRelationship.model_fields})


def _feelings(found: Relationship) -> dict[str, Any]:
    return {
        "affinity": found.affinity,
        "trust": found.trust,
        "respect": found.respect,
        "intimacy": found.intimacy,
        "relationship_type": found.relationship_type.value,
        "interaction_count": found.interaction_count,
        "compatibility_score": found.compatibility_score,
        "relationship_strength": found.relationship_strength,
        "last_interaction": timestamp(found.last_interaction),
    }


def _event(event: RelationshipEvent) -> RelationshipEventItem:
    return RelationshipEventItem(
        cause_id=event.cause_id,
        user_message_id=event.user_message_id,
        happened_at=timestamp(event.happened_at),
        quality=event.quality,
        duration_minutes=event.duration_seconds / 60,
        context=event.context,
        changes=RelationshipChanges(
            affinity=event.affinity_change,
            trust=event.trust_change,
            respect=event.respect_change,
            intimacy=event.intimacy_change,
        ),
        relationship_type=event.relationship_type.value,
    )
