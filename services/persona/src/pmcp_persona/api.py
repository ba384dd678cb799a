"""The HTTP face of the persona service: contract models in and out, one use case a route.

Stands on the store and the pure rules of `interaction`; errors leave as domain errors, which the plumbing
turns into problem documents. Internal: its only callers are the other services.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Query
from pydantic import BeforeValidator
from starlette.types import ASGIApp, Receive, Scope, Send

from pmcp_common.clock import Clock
from pmcp_common.contracts.personas import (
    Identifier,
    Interaction,
    InteractionState,
    PersonaList,
    PersonaTurnContext,
    PersonaView,
)
from pmcp_persona import interaction
from pmcp_persona.interaction import Standing
from pmcp_persona.store import Acquaintance, PersonaStore

Segment = Annotated[Identifier, BeforeValidator(unquote)]
"""One encoded segment of the path, see `EncodedPath`."""


class EncodedPath:
    """Routes by the path as it was sent. A name may hold a slash: decoded before routing it would look like two
    segments, and a player's odd reference would miss the route instead of being a persona not found."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["raw_path"].decode("latin-1")}
        await self._app(scope, receive, send)


def persona_routes(store: PersonaStore, clock: Clock) -> APIRouter:
    router = APIRouter(prefix="/v1/{tenant}/personas")

    @router.get("")
    async def list_personas(tenant: Segment, player_id: Identifier) -> PersonaList:
        found = await store.list_all(tenant, player_id)
        now = clock.now()
        return PersonaList(personas=tuple(_view(one, now) for one in found))

    @router.get("/{reference}")
    async def get_persona(tenant: Segment, reference: Segment, player_id: Identifier) -> PersonaView:
        return _view(await store.find(tenant, reference, player_id), clock.now())

    @router.get("/{reference}/turn-context")
    async def get_turn_context(
        tenant: Segment,
        reference: Segment,
        player_id: Identifier,
        known_version: Annotated[int | None, Query(ge=0)] = None,
    ) -> PersonaTurnContext:
        found = await store.find(tenant, reference, player_id)
        version = found.persona.version
        return PersonaTurnContext(
            persona=None if version == known_version else found.persona,
            version=version,
            interaction_state=_state(found, clock.now()),
        )

    @router.post("/{reference}/interactions")
    async def record_interaction(tenant: Segment, reference: Segment, body: Interaction) -> InteractionState:
        now = clock.now()

        def tired(found: Acquaintance) -> Standing:
            standing = found.standing or interaction.rested(found.persona, now)
            return interaction.tire(standing, found.persona, body.duration_seconds, now)

        stored = await store.apply_interaction(tenant, reference, body.player_id, body.interaction_id, tired)
        return _state(stored, now)

    return router


def _view(found: Acquaintance, now: datetime) -> PersonaView:
    return PersonaView(persona=found.persona, interaction_state=_state(found, now))


def _state(found: Acquaintance, now: datetime) -> InteractionState:
    standing = found.standing or interaction.rested(found.persona, now)
    return interaction.view(interaction.advance(standing, found.persona, now), now)
