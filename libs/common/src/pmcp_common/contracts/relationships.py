"""Relationships and moods, as services exchange them.

A relationship is between two personas (one row for both directions) or between a persona and a player. Affinity,
trust and respect are -1..1, intimacy 0..1; strength -1..1, compatibility 0..1. What moved and why stands in a
bounded history, newest first. A mood is one per persona.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, model_validator

from pmcp_common.contracts.personas import Contract, Identifier, ShortText

MAX_MEETING_MINUTES = 24 * 60
Signed = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class RelationshipType(StrEnum):
    STRANGER = "stranger"
    ACQUAINTANCE = "acquaintance"
    FRIEND = "friend"
    CLOSE_FRIEND = "close_friend"
    RIVAL = "rival"
    ENEMY = "enemy"
    MENTOR = "mentor"
    STUDENT = "student"
    ROMANTIC = "romantic"
    FAMILY = "family"


class PersonaReference(Contract):
    id: Identifier
    name: str


class RelationshipEvent(Contract):
    """One thing that moved a relationship."""

    cause_id: Identifier = Field(description="of a chat turn: the id of the reply's message")
    user_message_id: Identifier | None = Field(default=None, description="the words that were judged")
    happened_at: AwareDatetime
    quality: Signed
    duration_seconds: float = Field(ge=0)
    context: str
    affinity_change: float
    trust_change: float
    respect_change: float
    intimacy_change: float
    relationship_type: RelationshipType = Field(description="after it")


class Relationship(Contract):
    """`persona_id` is the one asked about; the other is a persona, or a player, who has no name here."""

    persona_id: Identifier
    other_id: Identifier
    other_name: str | None
    affinity: Signed
    trust: Signed
    respect: Signed
    intimacy: Share
    relationship_type: RelationshipType
    interaction_count: int = Field(ge=0)
    total_interaction_time: float = Field(ge=0, description="minutes")
    compatibility_score: Share
    relationship_strength: Signed
    first_meeting: AwareDatetime
    last_interaction: AwareDatetime
    history: tuple[RelationshipEvent, ...] = Field(default=(), description="newest first; left out of lists of several")


class RelationshipBetween(Contract):
    """`relationship` is None when the two never met."""

    persona1: PersonaReference
    persona2: PersonaReference
    relationship: Relationship | None


class RelationshipWithPlayer(Contract):
    relationship: Relationship | None
    recent_interactions: int = Field(ge=0, description="within the last 24 hours")


class RelationshipList(Contract):
    """Those with other personas, strongest feeling first, and the one with the player asked for."""

    persona: PersonaReference
    relationships: tuple[Relationship, ...]
    with_player: Relationship | None


class Meeting(Contract):
    """Two personas spent time together. Telling the same `cause_id` twice changes nothing."""

    cause_id: Identifier
    quality: Signed
    duration_minutes: float = Field(ge=0, le=MAX_MEETING_MINUTES, allow_inf_nan=False)
    context: ShortText = "conversation"


class RelationshipSetting(Contract):
    """A relationship as its author wants it: how strong (for a rival or enemy: how hostile), and of which type."""

    cause_id: Identifier
    relationship_type: RelationshipType | None = None
    strength: Share | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.relationship_type is None and self.strength is None:
            raise ValueError("one of relationship_type and strength is required")
        return self


class CompatibilityAnalysis(Contract):
    overall: Share
    personality: Share
    social: Share
    interests: Share
    history: Share
    prediction: str


class InteractionSuggestions(Contract):
    interaction_style: str
    recommended_topics: tuple[str, ...]
    potential_challenges: tuple[str, ...]
    relationship_potential: str
    interaction_frequency: str


class Compatibility(Contract):
    persona1: PersonaReference
    persona2: PersonaReference
    analysis: CompatibilityAnalysis
    suggestions: InteractionSuggestions
    existing_relationship: bool


class ActivePersona(Contract):
    persona_id: Identifier
    interactions: int


class RelationshipFigures(Contract):
    total_relationships: int
    relationship_types: dict[str, int]
    average_compatibility: float = Field(description="0 when there is none")
    total_interactions: int


class RelationshipStats(Contract):
    """Of the whole tenant: between personas, and with players (figures only)."""

    personas: RelationshipFigures
    players: RelationshipFigures
    most_active_personas: tuple[ActivePersona, ...] = Field(description="of meetings between personas; most first")


class EmotionEvent(Contract):
    """One thing that moved a mood. What happened with another player shows neither ids nor words."""

    cause_id: Identifier | None
    cause: str = Field(description="conversation, or update")
    happened_at: AwareDatetime
    changes: dict[str, float]


class Emotion(Contract):
    """As of now: what moved it fades, see `last_updated` for when it was moved last."""

    persona_id: Identifier
    mood: Signed
    energy_level: Share
    stress_level: Share
    curiosity: Share
    social_battery: Share
    last_updated: AwareDatetime
    history: tuple[EmotionEvent, ...] = ()


class EmotionChange(Contract):
    """Values to be set; those that are None stay. Telling the same `cause_id` twice changes nothing."""

    cause_id: Identifier
    mood: Signed | None = None
    energy_level: Share | None = None
    stress_level: Share | None = None
    curiosity: Share | None = None
    social_battery: Share | None = None
