"""Relationships and moods over HTTP: contract models in and out, one use case a route."""

from __future__ import annotations

from fastapi import APIRouter

from pmcp_common.clock import Clock
from pmcp_common.contracts.personas import Identifier
from pmcp_common.contracts.relationships import (
    Compatibility,
    Emotion,
    EmotionChange,
    Meeting,
    RelationshipBetween,
    RelationshipList,
    RelationshipSetting,
    RelationshipStats,
    RelationshipWithPlayer,
)
from pmcp_persona.inner_life import InnerLife
from pmcp_persona.segments import Segment


def relationship_routes(inner_life: InnerLife, clock: Clock) -> APIRouter:
    router = APIRouter(prefix="/v1/{tenant}", tags=["relationships"])

    @router.get("/relationships/stats")
    async def get_relationship_stats(tenant: Segment) -> RelationshipStats:
        return await inner_life.stats(tenant)

    @router.get("/relationships/{one}/{other}")
    async def get_relationship(tenant: Segment, one: Segment, other: Segment) -> RelationshipBetween:
        return await inner_life.between(tenant, one, other)

    @router.patch("/relationships/{one}/{other}")
    async def set_relationship(
        tenant: Segment, one: Segment, other: Segment, body: RelationshipSetting
    ) -> RelationshipBetween:
        return await inner_life.arrange(tenant, one, other, body, clock.now())

    @router.post("/relationships/{one}/{other}/meetings")
    async def record_meeting(tenant: Segment, one: Segment, other: Segment, body: Meeting) -> RelationshipBetween:
        return await inner_life.meet(tenant, one, other, body, clock.now())

    @router.get("/relationships/{one}/{other}/compatibility")
    async def get_compatibility(tenant: Segment, one: Segment, other: Segment) -> Compatibility:
        return await inner_life.compatibility(tenant, one, other)

    @router.get("/personas/{reference}/relationships")
    async def list_relationships(tenant: Segment, reference: Segment, player_id: Identifier) -> RelationshipList:
        return await inner_life.relationships(tenant, reference, player_id)

    @router.get("/personas/{reference}/relationship-with-player")
    async def get_relationship_with_player(
        tenant: Segment, reference: Segment, player_id: Identifier
    ) -> RelationshipWithPlayer:
        return await inner_life.with_player(tenant, reference, player_id, clock.now())

    return router


def emotion_routes(inner_life: InnerLife, clock: Clock) -> APIRouter:
    router = APIRouter(prefix="/v1/{tenant}/personas/{reference}/emotions", tags=["emotions"])

    @router.get("")
    async def get_emotions(tenant: Segment, reference: Segment, player_id: Identifier) -> Emotion:
        return await inner_life.mood(tenant, reference, player_id, clock.now())

    @router.patch("")
    async def set_emotions(tenant: Segment, reference: Segment, body: EmotionChange) -> Emotion:
        return await inner_life.set_mood(tenant, reference, body, clock.now())

    return router
