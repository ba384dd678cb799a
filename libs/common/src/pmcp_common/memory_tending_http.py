"""Decay and pruning of the memory service over HTTP: adapter of `peers.TendingPeer`, off the reply path."""

from __future__ import annotations

from urllib.parse import quote

import aiohttp

from pmcp_common.contracts.memory_tending import (
    CycleDone,
    DecayFigures,
    DecaySwitch,
    Faded,
    FadeRequest,
    Pruned,
    PrunedAll,
    PruneFigures,
    PruneOutlook,
    PruneRequest,
)
from pmcp_common.peers_http import Peer

TENDING_SECONDS = 60.0
"""A large memory takes its time, which nobody's reply waits for."""


class HttpTendingPeer(Peer):
    def __init__(
        self, session: aiohttp.ClientSession, base_url: str, *, timeout_seconds: float = TENDING_SECONDS
    ) -> None:
        super().__init__(session, base_url, "memory", timeout_seconds=timeout_seconds)

    async def prune(self, tenant: str, request: PruneRequest) -> Pruned:
        return await self._ask(Pruned, "POST", _path(tenant, "prunings"), body=request)

    async def prune_all(self, tenant: str, *, dry_run: bool) -> PrunedAll:
        query = {"dry_run": "true" if dry_run else "false"}
        return await self._ask(PrunedAll, "POST", _path(tenant, "prunings/all"), query=query)

    async def prune_outlook(self, tenant: str, persona_id: str, player_id: str) -> PruneOutlook:
        query = {"persona_id": persona_id, "player_id": player_id}
        return await self._ask(PruneOutlook, "GET", _path(tenant, "prunings/outlook"), query=query)

    async def prune_figures(self, tenant: str) -> PruneFigures:
        return await self._ask(PruneFigures, "GET", _path(tenant, "prunings"))

    async def switch_decay(self, tenant: str, wanted: DecaySwitch) -> DecayFigures:
        return await self._ask(DecayFigures, "PUT", _path(tenant, "decay"), body=wanted)

    async def decay_figures(self, tenant: str) -> DecayFigures:
        return await self._ask(DecayFigures, "GET", _path(tenant, "decay"))

    async def force_cycle(self, tenant: str) -> CycleDone:
        return await self._ask(CycleDone, "POST", _path(tenant, "decay/cycles"))

    async def fade(self, tenant: str, request: FadeRequest) -> Faded:
        return await self._ask(Faded, "POST", _path(tenant, "decay/fadings"), body=request)


def _path(tenant: str, what: str) -> str:
    return f"/v1/{quote(tenant, safe='')}/{what}"
