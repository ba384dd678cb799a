"""What the refusal of each constraint of the schema means to a caller: constraint name → domain error."""

from __future__ import annotations

from collections.abc import Callable

from pmcp_common.contracts.errors import Conflict, DomainError, InvalidParams

REFUSALS: dict[str, Callable[[], DomainError]] = {
    "personas_pkey": lambda: Conflict("A persona with this id exists"),
    "personas_name_key": lambda: Conflict("Failed to save persona: a persona with this name exists", field="name"),
    "personas_id_check": lambda: InvalidParams("id: 1..200 characters, no capitals", field="id"),
    "personas_name_check": lambda: InvalidParams("name: 1..200 characters", field="name"),
    "personas_version_check": lambda: InvalidParams("version: at least 1", field="version"),
    "personas_traits_check": lambda: InvalidParams("personality_traits: an object", field="personality_traits"),
    "personas_topics_check": lambda: InvalidParams(
        "topic_preferences: an object of whole numbers 0..100", field="topic_preferences"
    ),
    "personas_charisma_check": lambda: InvalidParams("charisma: 1..20", field="charisma"),
    "personas_intelligence_check": lambda: InvalidParams("intelligence: 1..20", field="intelligence"),
    "personas_priority_check": lambda: InvalidParams("priority: not one of the seven", field="priority"),
    "personas_energy_check": lambda: InvalidParams("energy: 0..200", field="energy"),
    "personas_available_time_check": lambda: InvalidParams(
        "available_time: at least 0 seconds", field="available_time"
    ),
    "interaction_states_pkey": lambda: Conflict("This interaction state exists"),
    "interaction_states_persona_fkey": lambda: Conflict("The persona was deleted meanwhile"),
    "interaction_states_interest_check": lambda: InvalidParams("interest_level: 0..100", field="interest_level"),
    "interaction_states_fatigue_check": lambda: InvalidParams(
        "interaction_fatigue: at least 0", field="interaction_fatigue"
    ),
    "interaction_states_priority_check": lambda: InvalidParams(
        "current_priority: not one of the seven", field="current_priority"
    ),
    "interaction_states_time_check": lambda: InvalidParams(
        "available_time: at least 0 seconds", field="available_time"
    ),
    "interaction_states_energy_check": lambda: InvalidParams("social_energy: 0..200", field="social_energy"),
    "personas_extras_check": lambda: InvalidParams("extras: an object", field="extras"),
    "relationships_pkey": lambda: Conflict("This relationship exists"),
    "relationships_first_fkey": lambda: Conflict("The persona was deleted meanwhile"),
    "relationships_kind_check": lambda: InvalidParams("kind: persona or player", field="kind"),
    "relationships_order_check": lambda: InvalidParams("A persona has no relationship with itself"),
    "relationships_range_check": lambda: InvalidParams("A feeling is out of its range"),
    "relationships_type_check": lambda: InvalidParams(
        "relationship_type: not one of the ten", field="relationship_type"
    ),
    "relationship_events_pkey": lambda: Conflict("This has been told before", field="cause_id"),
    "relationship_events_relationship_fkey": lambda: Conflict("The relationship was deleted meanwhile"),
    "emotions_pkey": lambda: Conflict("This emotional state exists"),
    "emotions_persona_fkey": lambda: Conflict("The persona was deleted meanwhile"),
    "emotions_range_check": lambda: InvalidParams("An emotion is out of its range"),
    "saves_pkey": lambda: Conflict("A save with this id exists"),
    "saves_state_check": lambda: InvalidParams("state: an object"),
    "emotion_events_pkey": lambda: Conflict("This has been told before", field="cause_id"),
    "emotion_events_emotion_fkey": lambda: Conflict("The persona was deleted meanwhile"),
}
