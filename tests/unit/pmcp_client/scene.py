"""A client on sockets made of queues: opened, one of its messages accepted, and what its gateway then says."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from pmcp_client.backoff import Reconnect
from pmcp_client.connection import Client
from pmcp_client.stream import ReplyStream

from .sockets import FakeGateways, FakeSocket

CHAT = "persona.chat_stream"
OPEN_AGAIN = {"session_id": "s-2", "resume_token": "t-9", "heartbeat_ms": 3_600_000}
EAGER = Reconnect(first_seconds=0, longest_seconds=0, give_up_seconds=5)


async def opened(gateways: FakeGateways, client: Client, **session: Any) -> FakeSocket:
    starting = asyncio.create_task(client.start())
    _, socket = await gateways.next()
    await socket.greet(**session)
    await starting
    return socket


async def begin(client: Client, socket: FakeSocket, stream_id: str = "s") -> tuple[ReplyStream, str]:
    opening = asyncio.create_task(client.stream(CHAT, {"message": "Hi"}))
    request = await socket.expect(CHAT)
    start = {"event_type": "stream_start", "stream_id": stream_id, "epoch": "e", "seq": 0}
    socket.answer(request["id"], result=start)
    return await opening, request["id"]


def chunk(seq: int, text: str) -> dict[str, Any]:
    return {"event_type": "stream_chunk", "stream_id": "s", "seq": seq, "chunk": text}


def end(seq: int, text: str) -> dict[str, Any]:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"event_type": "stream_complete", "stream_id": "s", "seq": seq, "sha256": digest, "state": "done"}


def recovered(**fields: Any) -> dict[str, Any]:
    return {"streams": [{"stream_id": "s", "recovered": True, "reason": None, **fields}]}
