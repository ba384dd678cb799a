"""Personas over HTTP: contract models in and out, one use case a route.

Stands on the stores and the pure rules of `interaction`; errors leave as domain errors, which the plumbing turns into
problem documents. Internal: its only callers are the other services.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from pmcp_common.clock import Clock
from pmcp_common.contracts.personas import (
    ConversationEnd,
    Identifier,
    Interaction,
    InteractionState,
    Persona,
    PersonaChange,
    PersonaDeleted,
    PersonaDraft,
    PersonaList,
    PersonaTurnContext,
    PersonaView,
)
from pmcp_common.contracts.talks import partner_of
from pmcp_persona import interaction, relationship
from pmcp_persona.announcements import Announcer
from pmcp_persona.inner_life import InnerLife
from pmcp_persona.segments import Segment
from pmcp_persona.store import WORLD, Acquaintance, PersonaStore

PREFIX = "/v1/{tenant}/personas"
Scope = Annotated[
    Literal["player", "world"] | None,
    Query(description="whose state: this player's, or everybody's as between personas; default: as the service is set"),
]


def persona_routes(store: PersonaStore, inner_life: InnerLife, clock: Clock) -> APIRouter:
    router = APIRouter(prefix=PREFIX, tags=["personas"])

    def stands(player_id: str, scope: str | None) -> str:
        if scope is None:
            return inner_life.standing_of(None if partner_of(player_id) else player_id)
        return WORLD if scope == "world" else player_id

    @router.get("")
    async def list_personas(tenant: Segment, player_id: Identifier, scope: Scope = None) -> PersonaList:
        found = await store.list_all(tenant, stands(player_id, scope))
        now = clock.now()
        return PersonaList(personas=tuple(_view(one, now) for one in found))

    @router.get("/{reference}")
    async def get_persona(
        tenant: Segment, reference: Segment, player_id: Identifier, scope: Scope = None
    ) -> PersonaView:
        return _view(await store.find(tenant, reference, stands(player_id, scope)), clock.now())

    @router.get("/{reference}/turn-context")
    async def get_turn_context(
        tenant: Segment,
        reference: Segment,
        player_id: Identifier,
        known_version: Annotated[int | None, Query(ge=0)] = None,
        scope: Scope = None,
    ) -> PersonaTurnContext:
        found, bond = await inner_life.for_turn(tenant, reference, stands(player_id, scope), player_id)
        version = found.persona.version
        return PersonaTurnContext(
            persona=None if version == known_version else found.persona,
            version=version,
            interaction_state=_state(found, clock.now()),
            compatibility=None if bond is None else relationship.past(bond),
            relationship_strength=0.0 if bond is None else relationship.strength(bond),
        )

    return router


def author_routes(store: PersonaStore, announcer: Announcer, clock: Clock, new_id: Callable[[], str]) -> APIRouter:
    """`new_id` gives a fresh UUID as text."""
    router = APIRouter(prefix=PREFIX, tags=["personas"])

    @router.post("", status_code=201)
    async def create_persona(tenant: Segment, body: PersonaDraft) -> Persona:
        return await store.create(tenant, new_id(), body, clock.now())

    @router.patch("/{reference}")
    async def update_persona(tenant: Segment, reference: Segment, body: PersonaChange) -> Persona:
        changed = await store.change(tenant, reference, body)
        await announcer.changed(tenant, changed.id)
        return changed

    @router.delete("/{reference}")
    async def delete_persona(tenant: Segment, reference: Segment) -> PersonaDeleted:
        """It answers nobody from now on, and its name is free; what it said and felt is kept."""
        deleted = await store.delete(tenant, reference, clock.now())
        await announcer.changed(tenant, deleted.persona_id)
        return deleted

    return router


def interaction_routes(inner_life: InnerLife, clock: Clock) -> APIRouter:
    router = APIRouter(prefix=PREFIX, tags=["interactions"])

    @router.post("/{reference}/interactions")
    async def record_interaction(tenant: Segment, reference: Segment, body: Interaction) -> InteractionState:
        now = clock.now()
        return _state(await inner_life.record_turn(tenant, reference, body, now), now)

    @router.post("/{reference}/cooldown")
    async def end_conversation(tenant: Segment, reference: Segment, body: ConversationEnd) -> InteractionState:
        now = clock.now()
        return _state(await inner_life.end_conversation(tenant, reference, body, now), now)

    return router


def _view(found: Acquaintance, now: datetime) -> PersonaView:
    return PersonaView(persona=found.persona, interaction_state=_state(found, now))


def _state(found: Acquaintance, now: datetime) -> InteractionState:
    standing = found.standing or interaction.rested(found.persona, now)
    return interaction.view(interaction.advance(standing, found.persona, now), now)
