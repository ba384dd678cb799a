"""A subscription whose link takes everything and brings nothing is given up and made anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from pmcp_common import bus_redis
from pmcp_common.bus_redis import channel_messages
from pmcp_common.redis_link import connect
from pmcp_common.testing.fault_proxy import FaultProxy, Scope


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    client = connect(valkey_url)
    yield client
    await client.aclose()


CHANNEL = "a-channel"


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[FaultProxy, str]]:
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    async with FaultProxy(address.hostname, address.port) as proxy:
        yield proxy, f"redis://127.0.0.1:{proxy.port}/0"


async def test_a_subscription_over_a_dead_link_is_made_anew(
    valkey_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_redis, "PING_SECONDS", 0.05)
    monkeypatch.setattr(bus_redis, "PONG_SECONDS", 0.3)
    async with (
        asyncio.timeout(5),
        proxied(valkey_url) as (proxy, url),
        aclosing(channel_messages(url, CHANNEL)) as messages,
    ):
        assert await anext(messages) is None
        proxy.blackhole(scope=Scope.EXISTING)
        assert await anext(messages) is None
        await redis.publish(CHANNEL, "heard")
        assert await anext(messages) == b"heard"


async def test_a_subscription_with_nothing_to_say_stays(
    valkey_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_redis, "PING_SECONDS", 0.01)
    async with (
        asyncio.timeout(5),
        proxied(valkey_url) as (proxy, url),
        aclosing(channel_messages(url, CHANNEL)) as messages,
    ):
        assert await anext(messages) is None
        waiting = asyncio.ensure_future(anext(messages))
        sent = proxy.statistics.bytes_up
        await proxy.wait_until(lambda seen: seen.bytes_up > sent + 100)  # a dozen pings
        assert not waiting.done()
        await redis.publish(CHANNEL, "heard")
        assert await waiting == b"heard"
        assert proxy.statistics.accepted == 1
