"""The same tests for both brokers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.pmcp_common.brokers import Broker, broker_in_memory, broker_on_redis


@pytest.fixture(params=["memory", "redis"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    if request.param == "memory":
        yield broker_in_memory()
        return
    async with broker_on_redis(request.getfixturevalue("valkey_url")) as broker:
        yield broker
