"""A message is accepted while the persona service is away: who is meant is in the copies the workers keep in Redis."""

from __future__ import annotations

import orjson
from redis.asyncio import Redis

from pmcp_common.contracts import keys
from pmcp_gateway.methods.persona_names import PersonaName
from pmcp_gateway.persona_copies_redis import RedisPersonaCopies

from .conftest import PERSONAS, Peers, Player, Worker


async def _keep_copies(redis: Redis) -> None:
    shelf = keys.persona_shelf("local")
    await redis.hset(shelf, "of-another-release", "?")  # type: ignore[misc]
    for name in ("aria", "kira"):
        persona = PERSONAS[name]["persona"]
        await redis.hset(shelf, persona["id"], orjson.dumps(persona).decode())  # type: ignore[misc]


async def test_a_copy_is_found_by_id_and_by_name_in_any_case(redis: Redis) -> None:
    copies = RedisPersonaCopies(redis)
    assert await copies.find("local", "aria") is None
    await _keep_copies(redis)
    assert await copies.find("local", "ARIA") == PersonaName("id-aria", "Aria")
    assert await copies.find("local", "id-Kira") == PersonaName("id-kira", "Kira")
    assert await copies.find("local", "nobody") is None
    assert await copies.find("other", "aria") is None


async def test_a_gateway_that_starts_without_the_persona_service_accepts_messages(
    peers: Peers, player: Player, worker: Worker, redis: Redis
) -> None:
    await _keep_copies(redis)
    peers.away = True
    call = {"jsonrpc": "2.0", "id": 1, "method": "persona.chat_stream"}
    await player.send({**call, "params": {"message": "Hi", "persona_id": "Aria"}})
    start = await player.receive()
    assert (start["result"]["event_type"], start["result"]["persona_id"]) == ("stream_start", "id-aria")
    reply = await worker.take()
    assert reply.claim.persona_id == "id-aria"
    await reply.end()
    assert (await player.receive())["result"]["state"] == "done"
