"""The whole service on a socket, asked through the client the other processes use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from pmcp_common.bus_redis import channel_messages
from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import PERSONA_NOT_FOUND, RemoteError
from pmcp_common.contracts.personas import Interaction
from pmcp_common.peers_http import HttpPersonaPeer, open_session
from pmcp_persona.app import build_app
from pmcp_persona.settings import PersonaSettings


@pytest.fixture
async def address(dsn: str) -> AsyncIterator[str]:
    app = build_app(PersonaSettings(postgres_dsn=SecretStr(dsn)))
    config = uvicorn.Config(app, host="127.0.0.1", port=0, http="httptools", log_config=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    await server.shutdown()


@pytest.fixture
async def peer(address: str) -> AsyncIterator[HttpPersonaPeer]:
    async with open_session() as session:
        yield HttpPersonaPeer(session, address)


async def test_a_worker_gets_the_persona_once_and_then_only_its_state(peer: HttpPersonaPeer) -> None:
    aria = (await peer.get("local", "aria", "p1")).persona
    first = await peer.turn_context("local", aria.id, "p1", None)
    assert first.persona == aria
    again = await peer.turn_context("local", aria.id, "p1", first.version)
    assert (again.persona, again.version) == (None, first.version)


async def test_a_recorded_interaction_is_seen_by_the_next_turn(peer: HttpPersonaPeer) -> None:
    aria = (await peer.get("local", "Aria", "p1")).persona
    talk = Interaction(player_id="p1", interaction_id="i1", duration_seconds=300)
    recorded = await peer.record_interaction("local", aria.id, talk)
    seen = (await peer.turn_context("local", aria.id, "p1", aria.version)).interaction_state
    assert recorded.available_time == 300
    assert 300 <= seen.available_time < 330
    assert seen.interaction_fatigue == 9


async def test_a_turn_knows_how_strong_the_relationship_is(peer: HttpPersonaPeer) -> None:
    aria = (await peer.get("local", "Aria", "p1")).persona
    assert (await peer.turn_context("local", aria.id, "p1", None)).relationship_strength == 0
    kind = Interaction(player_id="p1", interaction_id="i1", duration_seconds=300, sentiment=1)
    await peer.record_interaction("local", aria.id, kind)
    assert (await peer.turn_context("local", aria.id, "p1", None)).relationship_strength > 0
    assert (await peer.turn_context("local", aria.id, "p2", None)).relationship_strength == 0


async def test_the_list_is_by_name(peer: HttpPersonaPeer) -> None:
    assert [view.persona.name for view in await peer.list("local", "p1")] == ["Aria", "Kira"]


@pytest.mark.parametrize(
    "reference",
    ["nobody", "a/b", "Aria/turn-context", ".", "..", "../..", "%2e%2e", "%", "a?b=c", "a#b", "a+b c", "Ariá", "愛"],
)
async def test_whatever_a_player_calls_a_persona_an_unknown_one_is_not_found(
    peer: HttpPersonaPeer, reference: str
) -> None:
    with pytest.raises(RemoteError) as missed:
        await peer.get("local", reference, "p1")
    assert missed.value.code == PERSONA_NOT_FOUND.code
    assert missed.value.message == f"Persona not found: {reference}"


async def test_a_tenant_cannot_be_left_by_the_path(peer: HttpPersonaPeer) -> None:
    with pytest.raises(RemoteError) as missed:
        await peer.get("other", "../../local/personas/Aria", "p1")
    assert missed.value.code == PERSONA_NOT_FOUND.code


async def test_in_the_world_scope_a_talk_tires_the_persona_for_everybody(dsn: str) -> None:
    settings = PersonaSettings(
        postgres_dsn=SecretStr(dsn), redis_url=SecretStr("redis://127.0.0.1:1/0"), persona_interaction_scope="world"
    )
    app = build_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://persona/v1/local/personas") as http:
            talk = {"player_id": "p1", "interaction_id": "i1", "duration_seconds": 600}
            await http.post("/aria/interactions", json=talk)
            seen = await http.get("/aria/turn-context", params={"player_id": "p2"})
            assert not seen.json()["interaction_state"]["is_available"]
            known = await http.get("/aria/relationship-with-player", params={"player_id": "p2"})
            assert known.json()["relationship"] is None


async def test_changes_and_deletions_are_announced(dsn: str, valkey_url: str) -> None:
    app = build_app(PersonaSettings(postgres_dsn=SecretStr(dsn), redis_url=SecretStr(valkey_url)))
    async with app.router.lifespan_context(app), aclosing(channel_messages(valkey_url, keys.PERSONA_CHANNEL)) as heard:
        async with asyncio.timeout(5):
            assert await anext(heard) is None
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://persona/v1/local/personas") as http:
            aria = (await http.patch("/aria", json={"charisma": 20})).json()["id"]
            await http.delete("/aria")
        async with asyncio.timeout(5):
            assert [await anext(heard), await anext(heard)] == [f"local/{aria}".encode()] * 2
