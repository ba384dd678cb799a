"""Parameters and results of persona.get, create, update, delete and of the two about moods: rows of `methods`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from pmcp_common.contracts.method_models import OfPlayer, Params, Result
from pmcp_common.contracts.personas import Identifier, PersonaChange, PersonaDraft

_ENVELOPE = frozenset({"websocket_id", "player_id", "sender", "session_id", "_meta"})
"""What clients send with every request: no property of a persona."""


def _gather_extras(data: object, known: frozenset[str]) -> object:
    """Unknown parameters become `extras`; null is the same as absent."""
    if not isinstance(data, dict):
        return data
    given = {name: value for name, value in data.items() if value is not None and name not in _ENVELOPE}
    unknown = {name: given.pop(name) for name in list(given) if name not in known}
    extras = given.get("extras", {})
    if unknown and isinstance(extras, dict):
        given["extras"] = {**unknown, **extras}
    return given


class PersonaGetParams(OfPlayer):
    persona_id: Identifier = Field(description="an id or a name, case-insensitive")


class PersonaMemoryFigures(Result):
    total_memories: int | None = Field(description="null when the memory service is away")
    recent_interactions: int = Field(description="with this player, within the last 24 hours")


class PersonaProfile(Result):
    id: str
    version: int
    name: str
    full_name: str
    description: str
    personality_traits: dict[str, Any]
    topic_preferences: dict[str, int]
    charisma: int
    intelligence: int
    social_rank: str
    priority: str
    energy: int = Field(description="social energy of the rested persona")
    available_time: int = Field(description="seconds of the rested persona")
    background: str
    backstory: str
    speaking_style: str
    interests: list[str]
    goals: list[str]
    extras: dict[str, Any]
    fallback_lines: list[str]
    created_at: str
    memory_stats: PersonaMemoryFigures


class PersonaGetResult(Result):
    persona: PersonaProfile


class PersonaCreateParams(PersonaDraft, Params):
    """Parameters that have no name here are kept in `extras`, at most 8 KiB of them."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: object) -> object:
        return _gather_extras(data, frozenset(cls.model_fields))

    def draft(self) -> PersonaDraft:
        return PersonaDraft(**{name: getattr(self, name) for name in PersonaDraft.model_fields})


class PersonaCreateResult(Result):
    persona_id: str
    name: str
    created: Literal[True]
    version: int
    message: str


class PersonaUpdateParams(PersonaChange, Params):
    """What is not named stays. Parameters that have no name here are kept in `extras`."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    persona_id: Identifier = Field(description="an id or a name, case-insensitive")

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: object) -> object:
        return _gather_extras(data, frozenset(cls.model_fields))

    def change(self) -> PersonaChange:
        return PersonaChange(**{name: getattr(self, name) for name in PersonaChange.model_fields})


class PersonaUpdateResult(Result):
    persona_id: str
    name: str
    updated: Literal[True]
    version: int
    message: str


class PersonaDeleteParams(Params):
    persona_id: Identifier = Field(description="an id or a name, case-insensitive")


class PersonaDeleteResult(Result):
    persona_id: str
    name: str
    deleted: Literal[True]
    message: str


class EmotionEventItem(Result):
    cause_id: str | None = Field(description="of a chat turn: the reply's message id; null: of another player")
    cause: str = Field(description="conversation or update")
    happened_at: str
    changes: dict[str, float]


class EmotionalState(Result):
    mood: float = Field(ge=-1, le=1)
    energy_level: float = Field(ge=0, le=1)
    stress_level: float = Field(ge=0, le=1)
    curiosity: float = Field(ge=0, le=1)
    social_battery: float = Field(ge=0, le=1)
    last_updated: str = Field(description="when something moved it last; since then it fades towards calm")


class EmotionalGetStateParams(OfPlayer):
    persona_id: Identifier | None = Field(default=None, description="default: the active persona")


class EmotionalGetStateResult(Result):
    persona_id: str
    emotional_state: EmotionalState
    history: list[EmotionEventItem] = Field(description="what moved it and why, newest first")


Number = Annotated[float, Field(allow_inf_nan=False)]


class EmotionalUpdateStateParams(OfPlayer):
    persona_id: Identifier | None = Field(default=None, description="default: the active persona")
    mood: Number | None = Field(default=None, description="-1..1; what is beyond is clamped, here and below")
    energy_level: Number | None = Field(default=None, description="0..1")
    stress_level: Number | None = Field(default=None, description="0..1")
    curiosity: Number | None = Field(default=None, description="0..1")
    social_battery: Number | None = Field(default=None, description="0..1")


class EmotionalUpdateStateResult(Result):
    success: Literal[True]
    message: str
    updated_state: EmotionalState
