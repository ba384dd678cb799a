"""The persona and memory services over HTTP: adapters of `peers`, one keep-alive session for the process.

aiohttp, because these calls are on the reply path (a tenth of httpx's CPU per request). This is a named boundary:
transport failures become `Unavailable`, problem documents become the coded error they hold.
"""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import orjson
from pydantic import BaseModel
from yarl import URL

from pmcp_common import problems
from pmcp_common.contracts.errors import NOT_FOUND, InternalError, Unavailable
from pmcp_common.contracts.memories import (
    CommitResult,
    CommitTurns,
    ContextRequest,
    ContextResponse,
    MemoryStats,
    RecallRequest,
    RecallResponse,
    RememberRequest,
    Turn,
)
from pmcp_common.contracts.personas import (
    ConversationEnd,
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
from pmcp_common.logs import request_id

RETRY_AFTER_SECONDS = 1.0

M = TypeVar("M", bound=BaseModel)


def open_session(*, connections: int = 100) -> aiohttp.ClientSession:
    """At most `connections` at a time to all peers together; further calls wait for one."""
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=60, use_dns_cache=True)
    return aiohttp.ClientSession(connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())


class Peer:
    """One service: base URL, time-out, and the way from a response to a model or an error."""

    def __init__(
        self, session: aiohttp.ClientSession, base_url: str, name: str, *, timeout_seconds: float = 3.0
    ) -> None:
        self._session = session
        self._base = base_url.rstrip("/")
        self._name = name
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, connect=min(timeout_seconds, 1.0))

    async def ready(self) -> None:
        """Returns when the peer says it is ready; raises Unavailable otherwise."""
        status, _ = await self._exchange("GET", "/readyz")
        if status != 200:
            raise Unavailable(f"The {self._name} service is not ready", retry_after=RETRY_AFTER_SECONDS)

    async def _ask(
        self,
        model: type[M],
        method: str,
        path: str,
        *,
        body: BaseModel | None = None,
        query: dict[str, str] | None = None,
    ) -> M:
        status, answer = await self._exchange(method, path, body=body, query=query)
        if status >= 400:
            raise problems.to_error(status, answer)
        try:
            # A service of a newer release may say more than this process knows.
            return model.model_validate_json(answer, extra="ignore")
        except ValueError as error:
            raise InternalError(f"The {self._name} service answered out of contract") from error

    async def _exchange(
        self, method: str, path: str, *, body: BaseModel | None = None, query: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        headers = {"content-type": "application/json"} if body is not None else {}
        current = request_id.get()
        if current is not None:
            headers["x-request-id"] = current
        data: Any = orjson.dumps(body.model_dump(mode="json")) if body is not None else None
        try:
            async with self._session.request(
                method,
                # As it is: a reference may be ".." and would otherwise be resolved to another route.
                URL(self._base + path, encoded=True),
                data=data,
                params=query,
                headers=headers,
                timeout=self._timeout,
            ) as response:
                return response.status, await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"The {self._name} service is away", retry_after=RETRY_AFTER_SECONDS) from error


def _part(value: str) -> str:
    return quote(value, safe="")


class HttpPersonaPeer(Peer):
    def __init__(self, session: aiohttp.ClientSession, base_url: str, *, timeout_seconds: float = 3.0) -> None:
        super().__init__(session, base_url, "persona", timeout_seconds=timeout_seconds)

    async def list(self, tenant: str, player_id: str) -> tuple[PersonaView, ...]:
        query = {"player_id": player_id}
        return (await self._ask(PersonaList, "GET", f"/v1/{_part(tenant)}/personas", query=query)).personas

    async def get(self, tenant: str, reference: str, player_id: str) -> PersonaView:
        path = f"/v1/{_part(tenant)}/personas/{_part(reference)}"
        return await self._ask(PersonaView, "GET", path, query={"player_id": player_id})

    async def turn_context(
        self, tenant: str, persona_id: str, player_id: str, known_version: int | None
    ) -> PersonaTurnContext:
        query = {"player_id": player_id}
        if known_version is not None:
            query["known_version"] = str(known_version)
        path = f"/v1/{_part(tenant)}/personas/{_part(persona_id)}/turn-context"
        return await self._ask(PersonaTurnContext, "GET", path, query=query)

    async def record_interaction(self, tenant: str, persona_id: str, interaction: Interaction) -> InteractionState:
        path = f"/v1/{_part(tenant)}/personas/{_part(persona_id)}/interactions"
        return await self._ask(InteractionState, "POST", path, body=interaction)

    async def create(self, tenant: str, draft: PersonaDraft) -> Persona:
        return await self._ask(Persona, "POST", f"/v1/{_part(tenant)}/personas", body=draft)

    async def update(self, tenant: str, reference: str, change: PersonaChange) -> Persona:
        return await self._ask(Persona, "PATCH", _persona(tenant, reference), body=change)

    async def delete(self, tenant: str, reference: str) -> PersonaDeleted:
        return await self._ask(PersonaDeleted, "DELETE", _persona(tenant, reference))

    async def end_conversation(self, tenant: str, reference: str, end: ConversationEnd) -> InteractionState:
        return await self._ask(InteractionState, "POST", f"{_persona(tenant, reference)}/cooldown", body=end)

    async def relationship(self, tenant: str, one: str, other: str) -> RelationshipBetween:
        return await self._ask(RelationshipBetween, "GET", _pair(tenant, one, other))

    async def meet(self, tenant: str, one: str, other: str, meeting: Meeting) -> RelationshipBetween:
        return await self._ask(RelationshipBetween, "POST", f"{_pair(tenant, one, other)}/meetings", body=meeting)

    async def set_relationship(
        self, tenant: str, one: str, other: str, setting: RelationshipSetting
    ) -> RelationshipBetween:
        return await self._ask(RelationshipBetween, "PATCH", _pair(tenant, one, other), body=setting)

    async def compatibility(self, tenant: str, one: str, other: str) -> Compatibility:
        return await self._ask(Compatibility, "GET", f"{_pair(tenant, one, other)}/compatibility")

    async def relationships(self, tenant: str, reference: str, player_id: str) -> RelationshipList:
        path = f"{_persona(tenant, reference)}/relationships"
        return await self._ask(RelationshipList, "GET", path, query={"player_id": player_id})

    async def relationship_with_player(self, tenant: str, reference: str, player_id: str) -> RelationshipWithPlayer:
        path = f"{_persona(tenant, reference)}/relationship-with-player"
        return await self._ask(RelationshipWithPlayer, "GET", path, query={"player_id": player_id})

    async def relationship_stats(self, tenant: str) -> RelationshipStats:
        return await self._ask(RelationshipStats, "GET", f"/v1/{_part(tenant)}/relationships/stats")

    async def emotions(self, tenant: str, reference: str, player_id: str) -> Emotion:
        path = f"{_persona(tenant, reference)}/emotions"
        return await self._ask(Emotion, "GET", path, query={"player_id": player_id})

    async def set_emotions(self, tenant: str, reference: str, change: EmotionChange) -> Emotion:
        return await self._ask(Emotion, "PATCH", f"{_persona(tenant, reference)}/emotions", body=change)


def _persona(tenant: str, reference: str) -> str:
    return f"/v1/{_part(tenant)}/personas/{_part(reference)}"


def _pair(tenant: str, one: str, other: str) -> str:
    return f"/v1/{_part(tenant)}/relationships/{_part(one)}/{_part(other)}"


class HttpMemoryPeer(Peer):
    def __init__(self, session: aiohttp.ClientSession, base_url: str, *, timeout_seconds: float = 3.0) -> None:
        super().__init__(session, base_url, "memory", timeout_seconds=timeout_seconds)

    async def context(self, tenant: str, request: ContextRequest) -> ContextResponse:
        return await self._ask(ContextResponse, "POST", f"/v1/{_part(tenant)}/context", body=request)

    async def commit(self, tenant: str, turns: CommitTurns) -> int:
        return (await self._ask(CommitResult, "POST", f"/v1/{_part(tenant)}/turns", body=turns)).stored

    async def remember(self, tenant: str, request: RememberRequest) -> int:
        return (await self._ask(CommitResult, "POST", f"/v1/{_part(tenant)}/remember", body=request)).stored

    async def turn(self, tenant: str, message_id: str) -> Turn | None:
        status, answer = await self._exchange("GET", f"/v1/{_part(tenant)}/turns/{_part(message_id)}")
        if status == NOT_FOUND.http_status:
            return None
        if status >= 400:
            raise problems.to_error(status, answer)
        return Turn.model_validate_json(answer, extra="ignore")

    async def search(self, tenant: str, request: RecallRequest) -> RecallResponse:
        return await self._ask(RecallResponse, "POST", f"/v1/{_part(tenant)}/memories/search", body=request)

    async def stats(self, tenant: str, persona_id: str, player_id: str) -> MemoryStats:
        query = {"persona_id": persona_id, "player_id": player_id}
        return await self._ask(MemoryStats, "GET", f"/v1/{_part(tenant)}/memories/stats", query=query)
