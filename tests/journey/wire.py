"""Frames as they are on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect

ENDS = ("stream_complete", "stream_cancelled", "stream_error")
Frame = dict[str, Any]


@asynccontextmanager
async def raw_socket(url: str) -> AsyncIterator[ClientConnection]:
    async with connect(url, compression=None, max_size=8 * 1024 * 1024, proxy=None) as socket:
        yield socket


async def ask(socket: ClientConnection, request: Frame) -> list[Frame]:
    """Every frame of the answer, as it came: one reply, or all frames of a stream."""
    await socket.send(orjson.dumps(request).decode())
    frames: list[Frame] = []
    async with asyncio.timeout(30):
        while True:
            frame = orjson.loads(await socket.recv())
            if frame.get("id") != request["id"]:
                continue
            frames.append(frame)
            kind = (frame.get("result") or {}).get("event_type")
            if kind is None or kind in ENDS:
                return frames
