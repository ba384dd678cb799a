"""Parameters and results of persona.list, persona.switch and persona.status: rows of `methods`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pmcp_common.contracts.method_models import OfPlayer, Result
from pmcp_common.contracts.personas import Identifier


class PersonaListItem(Result):
    id: str
    name: str
    description: str
    available: bool
    social_energy: int
    current_priority: str
    cooldown_remaining: float = Field(ge=0, description="seconds")
    personality_traits: dict[str, Any]
    created_at: str


class PersonaListResult(Result):
    personas: list[PersonaListItem]
    total_count: int
    available_count: int


class PersonaSwitchParams(OfPlayer):
    persona_id: Identifier = Field(description="an id or a name, case-insensitive")


class PersonaSwitchResult(Result):
    persona_id: str
    name: str
    description: str
    status: Literal["active"]
    social_energy: int
    available_time: int = Field(description="seconds")
    current_priority: str
    message: str
    session_id: str
    conversation_id: str


class PersonaStatusParams(OfPlayer):
    persona_id: Identifier | None = Field(default=None, description="default: the active persona")


class PersonaStatusPersona(Result):
    id: str
    name: str
    description: str
    personality_traits: dict[str, Any]
    topic_preferences: dict[str, int]
    charisma: int
    intelligence: int
    social_rank: str


class PersonaStatusState(Result):
    interest_level: int
    interaction_fatigue: int
    current_priority: str
    available_time: int
    social_energy: int
    cooldown_until: float
    is_available: bool


class PersonaStatusResult(Result):
    persona: PersonaStatusPersona
    interaction_state: PersonaStatusState
    memory_stats: dict[str, Any] = Field(description="as memory.stats; {error} when the memory service is away")
