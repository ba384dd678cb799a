"""Personas and their interaction state, as services exchange them.

Ranges are those existing clients know: traits are free-form, topic preferences 0..100, charisma and intelligence
1..20, social energy 0..200, available time in seconds.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from pmcp_common.contracts.bounds import SPLIT, FreeObject, TraitObject, plain

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
"""An id or a name as clients send it: 1..200 characters, no NUL."""


PersonaName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]
"""What a persona is called: one line of 1..200 characters, unique in its tenant without regard to case."""
ShortText = Annotated[str, plain(200)]
Word = Annotated[str, plain(200, 1)]
Sentence = Annotated[str, plain(500, 1)]
Style = Annotated[str, plain(2000)]
Description = Annotated[str, plain(4000)]
Story = Annotated[str, plain(8000)]
Interests = Annotated[tuple[Word, ...], SPLIT, Field(max_length=64)]
Goals = Annotated[tuple[Sentence, ...], SPLIT, Field(max_length=32)]
Lines = Annotated[tuple[Sentence, ...], Field(max_length=16)]
TopicPreferences = Annotated[dict[Word, Annotated[int, Field(ge=0, le=100)]], Field(max_length=128)]
Attribute = Annotated[int, Field(ge=1, le=20)]
SocialEnergy = Annotated[int, Field(ge=0, le=200)]
Seconds = Annotated[int, Field(ge=0, le=86_400)]


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
    full_name: str = ""
    background: str = ""
    backstory: str = ""
    speaking_style: str = ""
    interests: tuple[str, ...] = ()
    goals: tuple[str, ...] = ()
    extras: dict[str, Any] = Field(default_factory=dict, description="what clients sent besides; kept as it came")
    fallback_lines: tuple[str, ...] = Field(
        default=(), description="said in character when no model answers; always marked as fallback"
    )
    created_at: datetime


class PersonaDraft(Contract):
    """A persona to be made."""

    name: PersonaName
    full_name: ShortText = ""
    description: Description = ""
    personality_traits: TraitObject = Field(default_factory=dict)
    topic_preferences: TopicPreferences = Field(default_factory=dict)
    charisma: Attribute = 10
    intelligence: Attribute = 10
    social_rank: ShortText = "commoner"
    priority: Priority = Priority.NONE
    energy: SocialEnergy = 100
    available_time: Seconds = 300
    background: Story = ""
    backstory: Story = ""
    speaking_style: Style = ""
    interests: Interests = ()
    goals: Goals = ()
    extras: FreeObject = Field(default_factory=dict)
    fallback_lines: Lines = ()


class PersonaChange(Contract):
    """What becomes different; what is None stays. `extras` are merged by key, and null removes one."""

    expected_version: int | None = Field(default=None, ge=1, description="refused when the persona has another one")
    name: PersonaName | None = None
    full_name: ShortText | None = None
    description: Description | None = None
    personality_traits: TraitObject | None = None
    topic_preferences: TopicPreferences | None = None
    charisma: Attribute | None = None
    intelligence: Attribute | None = None
    social_rank: ShortText | None = None
    priority: Priority | None = None
    energy: SocialEnergy | None = None
    available_time: Seconds | None = None
    background: Story | None = None
    backstory: Story | None = None
    speaking_style: Style | None = None
    interests: Interests | None = None
    goals: Goals | None = None
    extras: FreeObject | None = None
    fallback_lines: Lines | None = None


class PersonaDeleted(Contract):
    persona_id: Identifier
    name: str


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
    compatibility: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="of the relationship with the other side; None: they are neither friends nor foes yet",
    )
    relationship_strength: float = Field(default=0.0, ge=-1, le=1, description="0: strangers, or not known")


class OtherSide(Contract):
    """Whom the persona talks with: a player, or another persona; then the persona is tired for everyone."""

    player_id: Identifier | None = None
    partner_persona_id: Identifier | None = None
    interaction_id: Identifier = Field(description="of a chat turn: the id of the reply's message")

    @model_validator(mode="after")
    def _one_other_side(self) -> Self:
        if (self.player_id is None) == (self.partner_persona_id is None):
            raise ValueError("one of player_id and partner_persona_id is required")
        return self


class Interaction(OtherSide):
    """A finished turn that tires the persona and moves it. Applying the same `interaction_id` twice changes nothing."""

    duration_seconds: float = Field(ge=0, le=3600)
    sentiment: float | None = Field(
        default=None, ge=-1, le=1, allow_inf_nan=False, description="of what the other side said; None: not judged"
    )
    user_message_id: Identifier | None = Field(default=None, description="the message the sentiment is of")


class ConversationEnd(OtherSide):
    """The end of a conversation, after which the persona rests from it. Idempotent by `interaction_id`."""

    continue_score: float = Field(ge=0, le=100, allow_inf_nan=False, description="the last one of the conversation")
