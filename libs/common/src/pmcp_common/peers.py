"""Ports: the persona and memory services as other processes see them.

Every method raises `Unavailable` when the peer cannot be reached in time, and the peer's own coded error otherwise.
Adapter: `peers_http`.
"""

from __future__ import annotations

from typing import Protocol

from pmcp_common.contracts.memories import (
    CommitTurns,
    ContextRequest,
    ContextResponse,
    MemoryStats,
    RecallRequest,
    RecallResponse,
    RememberRequest,
    Turn,
)
from pmcp_common.contracts.personas import Interaction, InteractionState, PersonaTurnContext, PersonaView


class PersonaPeer(Protocol):
    async def list(self, tenant: str, player_id: str) -> tuple[PersonaView, ...]: ...

    async def get(self, tenant: str, reference: str, player_id: str) -> PersonaView:
        """By id or name, case-insensitive. Raises PersonaNotFound."""
        ...

    async def turn_context(
        self, tenant: str, persona_id: str, player_id: str, known_version: int | None
    ) -> PersonaTurnContext: ...

    async def record_interaction(self, tenant: str, persona_id: str, interaction: Interaction) -> InteractionState: ...


class MemoryPeer(Protocol):
    async def context(self, tenant: str, request: ContextRequest) -> ContextResponse: ...

    async def commit(self, tenant: str, turns: CommitTurns) -> int:
        """Store turns once (idempotent by message id), all or none; returns how many were new."""
        ...

    async def remember(self, tenant: str, request: RememberRequest) -> int: ...

    async def turn(self, tenant: str, message_id: str) -> Turn | None: ...

    async def search(self, tenant: str, request: RecallRequest) -> RecallResponse: ...

    async def stats(self, tenant: str, persona_id: str, player_id: str) -> MemoryStats: ...
