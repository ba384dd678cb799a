"""What an application of the client library notices of a broker that is away for a while: the time it takes."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from pydantic import SecretStr

import pmcp_client
from pmcp_common.redis_link import connect as connect_redis

from .conftest import StartGateway, Worker
from .resuming import CHAT


async def test_messages_sent_to_a_silent_redis_are_answered_once_when_it_speaks_again(
    start_gateway: StartGateway, own_valkey: tuple[Any, str]
) -> None:
    server, url = own_valkey
    gateway = await start_gateway(redis_url=SecretStr(url), gateway_redis_seconds=0.2)
    redis = connect_redis(url)
    async with pmcp_client.connect(gateway.url, player_id="ann") as client, gateway.player() as witness:
        await client.call("persona.switch", {"persona_id": "Aria"})
        await witness.result("session.get_info")
        server.signal(signal.SIGSTOP)
        try:
            opening = asyncio.create_task(client.stream(CHAT, {"message": "Hello"}))
            calling = asyncio.create_task(client.call("persona.chat", {"message": "Hello", "player_id": "bob"}))
            reading = asyncio.create_task(client.call("session.get_info"))
            for _ in range(2):  # the client's own requests, sent before, have been refused by then
                assert (await witness.ask("session.get_info"))["error"]["code"] == -32007
            assert not any(task.done() for task in (opening, calling, reading))
        finally:
            server.signal(signal.SIGCONT)
        worker = Worker(redis, url)
        for _ in range(2):
            reply = await worker.take()
            await reply.say("Well met")
            await reply.end()
        async with asyncio.timeout(5):
            assert await (await opening).text() == "Well met"
            assert (await calling)["response"] == "Well met"
            assert (await reading)["active_persona_name"] == "Aria"
    assert len(await redis.keys("pmcp:{*:job")) == 2
    await redis.aclose()
