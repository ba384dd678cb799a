"""Parameters and results of relationship.* and persona.relationship: rows of `methods`.

relationship.get and relationship.update have two shapes, told apart by the names of the parameters that are there:
persona1_id and persona2_id, or persona_id (and target_persona_id). Only the fields of the shape asked for come back.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pmcp_common.contracts.method_models import OfPlayer, Params, Result
from pmcp_common.contracts.personas import Identifier, ShortText
from pmcp_common.contracts.relationships import MAX_MEETING_MINUTES, RelationshipType, Share

_ONE = Field(default=None, description="an id or a name; with persona2_id")
_OTHER = Field(default=None, description="an id or a name; with persona1_id")


def _quality(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1 <= value <= 1:
        raise ValueError("must be a number between -1.0 and 1.0")
    return value


class RelationshipChanges(Result):
    affinity: float
    trust: float
    respect: float
    intimacy: float


class RelationshipEventItem(Result):
    cause_id: str = Field(description="of a chat turn: the reply's message id")
    user_message_id: str | None = Field(description="the words that were judged")
    happened_at: str
    quality: float
    duration_minutes: float
    context: str
    changes: RelationshipChanges
    relationship_type: str = Field(description="after it")


class Feelings(Result):
    affinity: float = Field(ge=-1, le=1)
    trust: float = Field(ge=-1, le=1)
    respect: float = Field(ge=-1, le=1)
    intimacy: float = Field(ge=0, le=1)
    relationship_type: str
    interaction_count: int
    compatibility_score: float = Field(ge=0, le=1)
    relationship_strength: float = Field(ge=-1, le=1)
    last_interaction: str


class RelationshipObject(Feelings):
    persona1_id: str
    persona2_id: str
    total_interaction_time: float = Field(description="minutes")
    first_meeting: str
    shared_experiences: list[RelationshipEventItem] = Field(description="of the history: ten minutes and more")
    memorable_moments: list[RelationshipEventItem] = Field(description="of the history: quality of 0.7 and more")
    conflict_history: list[RelationshipEventItem] = Field(description="of the history: quality of -0.3 and less")
    history: list[RelationshipEventItem] = Field(description="what moved it and why, newest first")


class PlayerRelationship(Feelings):
    persona_id: str
    player_id: str
    total_interaction_time: float = Field(description="minutes")
    first_meeting: str
    history: list[RelationshipEventItem] = Field(description="what moved it and why, newest first")


class RelationshipItem(Feelings):
    other_persona_id: str
    other_persona_name: str


class RelationshipTarget(Result):
    target_persona_id: str
    target_persona_name: str
    relationship_type: str
    strength: float = Field(ge=0, le=1, description="of the feeling, whether good or bad")
    relationship_strength: float = Field(ge=-1, le=1)
    last_interaction: str


class RelationshipGetParams(OfPlayer):
    persona1_id: Identifier | None = _ONE
    persona2_id: Identifier | None = _OTHER
    persona_id: Identifier | None = Field(default=None, description="the other shape: all relationships of one persona")


class RelationshipGetResult(Result):
    relationship: RelationshipObject | None = Field(default=None, description="first shape; null: they never met")
    exists: bool | None = Field(default=None, description="first shape")
    message: str | None = Field(default=None, description="first shape, when they never met")
    persona_id: str | None = Field(default=None, description="second shape")
    relationships: list[RelationshipTarget] | None = Field(default=None, description="second shape")
    player_relationship: PlayerRelationship | None = Field(default=None, description="second shape: with this player")


class RelationshipListParams(OfPlayer):
    persona_id: Identifier | None = Field(default=None, description="default: the active persona")


class RelationshipListResult(Result):
    persona_id: str
    relationships: list[RelationshipItem] = Field(description="strongest feeling first, at most 500")
    total_relationships: int
    player_relationship: PlayerRelationship | None = Field(description="with this player; null: they never talked")


class RelationshipCompatibilityParams(Params):
    persona1_id: Identifier | None = _ONE
    persona2_id: Identifier | None = _OTHER


class NamedPersona(Result):
    id: str
    name: str


class CompatibilityParts(Result):
    overall: float = Field(ge=0, le=1)
    personality: float = Field(ge=0, le=1)
    social: float = Field(ge=0, le=1)
    interests: float = Field(ge=0, le=1)
    history: float = Field(ge=0, le=1)
    prediction: Literal["excellent", "very_good", "good", "challenging", "difficult"]


class SuggestionParts(Result):
    interaction_style: str
    recommended_topics: list[str]
    potential_challenges: list[str]
    relationship_potential: str
    interaction_frequency: str


class RelationshipCompatibilityResult(Result):
    persona1: NamedPersona
    persona2: NamedPersona
    compatibility_analysis: CompatibilityParts
    interaction_suggestions: SuggestionParts
    existing_relationship: bool


class MostActivePersona(Result):
    persona_id: str
    interactions: int


class RelationshipFiguresItem(Result):
    total_relationships: int
    relationship_types: dict[str, int]
    average_compatibility: float
    total_interactions: int


class RelationshipStatistics(RelationshipFiguresItem):
    most_active_personas: list[MostActivePersona]
    with_players: RelationshipFiguresItem = Field(description="the same figures of personas and players")


class RelationshipStatsResult(Result):
    relationship_statistics: RelationshipStatistics = Field(description="between personas")
    timestamp: str


class RelationshipUpdateParams(Params):
    persona1_id: Identifier | None = _ONE
    persona2_id: Identifier | None = _OTHER
    interaction_quality: Annotated[float, BeforeValidator(_quality)] = Field(default=0.0, description="-1..1")
    duration_minutes: Annotated[float, Field(ge=0, le=MAX_MEETING_MINUTES, allow_inf_nan=False)] = 5.0
    context: ShortText = "conversation"
    persona_id: Identifier | None = Field(default=None, description="the other shape, with target_persona_id")
    target_persona_id: Identifier | None = None
    relationship_type: RelationshipType | None = None
    strength: Share | None = Field(default=None, description="0..1; how hostile, for a rival or enemy")


class InteractionProcessed(Result):
    quality: float
    duration_minutes: float
    context: str


class UpdatedRelationship(Result):
    affinity: float
    trust: float
    respect: float
    intimacy: float
    relationship_type: str
    compatibility_score: float
    relationship_strength: float


class RelationshipUpdateResult(Result):
    success: Literal[True]
    message: str
    interaction_processed: InteractionProcessed | None = Field(default=None, description="first shape")
    updated_relationship: UpdatedRelationship


class PersonaRelationshipParams(OfPlayer):
    target_persona: Identifier | None = Field(default=None, description="an id or a name; default: all of them")


class PersonaRelationshipResult(Result):
    current_persona: str
    target_persona: str | None = Field(default=None, description="when one was named")
    relationship: RelationshipObject | None = Field(default=None, description="when one was named")
    relationships: list[RelationshipObject] | None = Field(default=None, description="when none was named")
