"""Frames as they are on the wire, and their shape: what a client's parser depends on, without the values."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect

ENDS = ("stream_complete", "stream_cancelled", "stream_error")
FREE = frozenset(
    {
        "personality_traits", "topic_preferences", "extras", "memory_types", "score_parts", "timings", "persona_state",
        "cooldown_seconds", "components", "heads", "relationship_types", "reasons", "memory_stats", "schema", "params",
        "changes",
    }
)  # fmt: skip
"""Objects whose keys are data."""
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


def shape(value: Any, key: str = "") -> Any:
    """Values by the name of their type; of a list the first element."""
    if isinstance(value, dict):
        return "object" if key in FREE else {name: shape(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if value is None:
        return None
    return {bool: "boolean", str: "string"}.get(type(value), "number")


def fits(golden: Any, found: Any) -> bool:
    """The same keys and types. Null stands for whatever it may be, an empty list for any list."""
    if golden is None or found is None:
        return True
    if isinstance(golden, list) and isinstance(found, list):
        return not golden or not found or fits(golden[0], found[0])
    if isinstance(golden, dict) and isinstance(found, dict):
        return golden.keys() == found.keys() and all(fits(golden[name], found[name]) for name in golden)
    return bool(golden == found)
