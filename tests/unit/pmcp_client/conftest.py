"""A client that is connected to the first of two gateways made of queues."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pmcp_client.connection import Client

from .scene import EAGER, opened
from .sockets import FakeGateways, FakeSocket


@pytest.fixture
def gateways() -> FakeGateways:
    return FakeGateways()


@pytest.fixture
async def client(gateways: FakeGateways) -> AsyncIterator[Client]:
    client = Client(["a", "b"], gateways.open, player_id="ann", reconnect=EAGER)
    yield client
    await client.close()


@pytest.fixture
async def socket(client: Client, gateways: FakeGateways) -> FakeSocket:
    return await opened(gateways, client)
