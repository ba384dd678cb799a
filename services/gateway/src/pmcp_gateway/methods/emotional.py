"""emotional.get_state and emotional.update_state: a persona's mood, the persona service's word."""

from __future__ import annotations

from typing import Any

from pmcp_common.contracts.errors import InvalidParams
from pmcp_common.contracts.persona_models import (
    EmotionalGetStateParams,
    EmotionalGetStateResult,
    EmotionalState,
    EmotionalUpdateStateParams,
    EmotionalUpdateStateResult,
    EmotionEventItem,
)
from pmcp_common.contracts.relationships import Emotion, EmotionChange
from pmcp_gateway.methods.call import Call, Services
from pmcp_gateway.timestamps import timestamp

VALUES = ("mood", "energy_level", "stress_level", "curiosity", "social_battery")


async def get_state(services: Services, call: Call, params: EmotionalGetStateParams) -> dict[str, Any]:
    player = call.player(params.player_id)
    emotion = await services.personas.emotions(call.tenant, params.persona_id or call.persona_id or "", player)
    return EmotionalGetStateResult(
        persona_id=emotion.persona_id,
        emotional_state=_state(emotion),
        history=[
            EmotionEventItem(
                cause_id=event.cause_id,
                cause=event.cause,
                happened_at=timestamp(event.happened_at),
                changes=event.changes,
            )
            for event in emotion.history
        ],
    ).model_dump(mode="json")


async def update_state(services: Services, call: Call, params: EmotionalUpdateStateParams) -> dict[str, Any]:
    given = {name: value for name in VALUES if (value := getattr(params, name)) is not None}
    if not given:
        raise InvalidParams(f"One of {', '.join(VALUES)} is required")
    clamped = {name: min(1.0, max(-1.0 if name == "mood" else 0.0, value)) for name, value in given.items()}
    change = EmotionChange(cause_id=services.new_id(), **clamped)
    emotion = await services.personas.set_emotions(call.tenant, params.persona_id or call.persona_id or "", change)
    return EmotionalUpdateStateResult(
        success=True, message="Emotional state updated", updated_state=_state(emotion)
    ).model_dump(mode="json")


def _state(emotion: Emotion) -> EmotionalState:
    return EmotionalState(
        mood=emotion.mood,
        energy_level=emotion.energy_level,
        stress_level=emotion.stress_level,
        curiosity=emotion.curiosity,
        social_battery=emotion.social_battery,
        last_updated=timestamp(emotion.last_updated),
    )
