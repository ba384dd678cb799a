"""Personas and their interaction state, as services exchange them.

Ranges are those existing clients know: traits are free-form, topic preferences 0..100, charisma and intelligence
1..20, social energy 0..200, available time in seconds.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
"""An id or a name as clients send it: 1..200 characters, no NUL."""


class Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Priority(StrEnum):
    URGENT = "urgent"
    IMPORTANT = "important"
    CASUAL = "casual"
    SOCIAL = "social"
    ACADEMIC = "academic"
    BUSINESS = "business"
    NONE = "none"


class Persona(Contract):
    """Who a persona is. `version` grows with each change; a copy of one version never changes."""

    id: Identifier
    version: int = Field(ge=1)
    name: Identifier
    description: str = ""
    personality_traits: dict[str, Any] = Field(default_factory=dict)
    topic_preferences: dict[str, int] = Field(default_factory=dict)
    charisma: int = Field(default=10, ge=1, le=20)
    intelligence: int = Field(default=10, ge=1, le=20)
    social_rank: str = "commoner"
    priority: Priority = Priority.NONE
    energy: int = Field(default=100, ge=0, le=200, description="social energy of a rested persona")
    available_time: int = Field(default=300, ge=0, description="seconds a rested persona gives to one player")
    background: str = ""
    speaking_style: str = ""
    fallback_lines: tuple[str, ...] = Field(
        default=(), description="said in character when no model answers; always marked as fallback"
    )
    created_at: datetime


class InteractionState(Contract):
    """How a persona stands towards one player, as of `last_updated` brought forward to now."""

    interest_level: int = Field(default=50, ge=0, le=100)
    interaction_fatigue: int = Field(default=0, ge=0)
    current_priority: Priority = Priority.NONE
    available_time: int = Field(default=300, ge=0, description="seconds")
    social_energy: int = Field(default=100, ge=0, le=200)
    cooldown_until: float = Field(default=0.0, ge=0, description="Unix seconds; 0: none")
    cooldown_remaining: float = Field(default=0.0, ge=0, description="seconds")
    is_available: bool
    last_updated: datetime


class PersonaView(Contract):
    persona: Persona
    interaction_state: InteractionState


class PersonaList(Contract):
    personas: tuple[PersonaView, ...]


class PersonaTurnContext(Contract):
    """What one reply needs: `persona` is None when the caller already holds this version."""

    persona: Persona | None
    version: int
    interaction_state: InteractionState


class Interaction(Contract):
    """A finished turn that tires the persona. Applying the same `interaction_id` twice changes nothing."""

    player_id: Identifier
    interaction_id: Identifier
    duration_seconds: float = Field(ge=0, le=3600)
