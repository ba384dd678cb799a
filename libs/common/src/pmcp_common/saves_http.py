"""Saves over HTTP: adapter of `peers.SavesPeer`, whose two parts are two services'. Off the reply path."""

from __future__ import annotations

from urllib.parse import quote

import aiohttp

from pmcp_common.contracts.saves import (
    LoadPersonas,
    LoadWorld,
    PersonasLoaded,
    PersonasSaved,
    PlayerForgotten,
    SavePersonas,
    SaveRecord,
    SaveRecords,
    SaveWorld,
    WorldLoaded,
)
from pmcp_common.peers_http import Peer

SAVE_SECONDS = 10.0
LOAD_SECONDS = 150.0
"""More than the memory service gives its statements: whoever gives up first should be the one who knows."""


class HttpSavesPeer:
    def __init__(self, session: aiohttp.ClientSession, persona_url: str, memory_url: str) -> None:
        self._personas = _PersonaPart(session, persona_url, "persona", timeout_seconds=SAVE_SECONDS)
        self._memory = _MemoryPart(session, memory_url, "memory", timeout_seconds=SAVE_SECONDS)
        self._loading = _MemoryPart(session, memory_url, "memory", timeout_seconds=LOAD_SECONDS)

    async def save_personas(self, tenant: str, save_id: str, player_id: str) -> PersonasSaved:
        return await self._personas.save(tenant, save_id, player_id)

    async def load_personas(self, tenant: str, save_id: str, told: LoadPersonas) -> PersonasLoaded:
        return await self._personas.load(tenant, save_id, told)

    async def forget_personas(self, tenant: str, player_id: str) -> PlayerForgotten:
        return await self._personas.forget(tenant, player_id)

    async def save_world(self, tenant: str, world: SaveWorld) -> SaveRecord:
        return await self._memory.save(tenant, world)

    async def find(self, tenant: str, player_id: str, save_id: str | None) -> SaveRecord:
        return await self._memory.find(tenant, player_id, save_id)

    async def list(self, tenant: str, player_id: str, limit: int) -> tuple[SaveRecord, ...]:
        return await self._memory.list(tenant, player_id, limit)

    async def load_world(self, tenant: str, save_id: str, leaving: SaveWorld) -> WorldLoaded:
        return await self._loading.load(tenant, save_id, leaving)


class _PersonaPart(Peer):
    async def save(self, tenant: str, save_id: str, player_id: str) -> PersonasSaved:
        body = SavePersonas(player_id=player_id)
        return await self._ask(PersonasSaved, "PUT", _save(tenant, save_id), body=body)

    async def load(self, tenant: str, save_id: str, told: LoadPersonas) -> PersonasLoaded:
        return await self._ask(PersonasLoaded, "POST", f"{_save(tenant, save_id)}/load", body=told)

    async def forget(self, tenant: str, player_id: str) -> PlayerForgotten:
        return await self._ask(PlayerForgotten, "DELETE", _player(tenant, player_id))


class _MemoryPart(Peer):
    async def save(self, tenant: str, world: SaveWorld) -> SaveRecord:
        return await self._ask(SaveRecord, "POST", f"/v1/{quote(tenant, safe='')}/saves", body=world)

    async def find(self, tenant: str, player_id: str, save_id: str | None) -> SaveRecord:
        query = {} if save_id is None else {"save_id": save_id}
        return await self._ask(SaveRecord, "GET", f"{_player(tenant, player_id)}/save", query=query)

    async def list(self, tenant: str, player_id: str, limit: int) -> tuple[SaveRecord, ...]:
        query = {"limit": str(limit)}
        return (await self._ask(SaveRecords, "GET", f"{_player(tenant, player_id)}/saves", query=query)).saves

    async def load(self, tenant: str, save_id: str, leaving: SaveWorld) -> WorldLoaded:
        body = LoadWorld(leaving=leaving)
        return await self._ask(WorldLoaded, "POST", f"{_save(tenant, save_id)}/load", body=body)


def _save(tenant: str, save_id: str) -> str:
    return f"/v1/{quote(tenant, safe='')}/saves/{quote(save_id, safe='')}"


def _player(tenant: str, player_id: str) -> str:
    return f"/v1/{quote(tenant, safe='')}/players/{quote(player_id, safe='')}"
