"""What the servers hold at the end of a run, read past the proxies, and the checker's word on the whole history.

Above it: `tests/faults`, `bench.soak.__main__`. Below it: Postgres, Redis (also the lives of its data that are over),
the fake model's log. Rule: it reads only when nothing runs any more, and only what belongs to the players of this
history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from bench.soak.fault_stack import TENANT, FaultStack
from bench.soak.harvest import Harvest
from pmcp_common.contracts import keys
from pmcp_common.testing.fake_model_record import RecordedRequest
from pmcp_common.testing.history import read_history
from pmcp_common.testing.history_checker import Report, examine
from pmcp_common.testing.history_entries import ModelCall, RequestAccepted, RequestSent, RowHeld
from pmcp_common.testing.history_facts import MARKER, marker_text
from pmcp_common.testing.waiting import until

ROWS = """
SELECT tenant_id, player_id, conversation_id, position, role, message_id, content
FROM memory.turns WHERE tenant_id = $1 AND player_id = ANY($2) ORDER BY position
"""
SETTLE_SECONDS = 60.0


async def verdict(stack: FaultStack, harvest: Harvest, path: Path, settle_seconds: float = SETTLE_SECONDS) -> Report:
    """Waits until the stack is at rest, adds what it holds to the history and judges all of it."""
    recorder = harvest.recorder
    await settled(stack, settle_seconds)
    recorder.flush()
    players, markers, streams = set[str](), set[str](), set[str]()
    for entry in read_history(path):
        if isinstance(entry, RequestSent):
            players.add(entry.player)
            markers.add(marker_text(entry.marker))
        elif isinstance(entry, RequestAccepted):
            streams.add(entry.stream)
    recorder.rows(await held_rows(stack, players))
    await harvest.gather_all(stack.redis_url, streams)
    recorder.calls(held_calls(stack.model.seen.requests, markers))
    recorder.flush()
    return examine(read_history(path))


async def settled(stack: FaultStack, timeout_seconds: float = SETTLE_SECONDS) -> None:
    """No reply runs or waits, none is still to be queued again, nothing is owed to Postgres. Raises TimeoutError."""

    async def at_rest() -> bool:
        try:
            async with Redis.from_url(stack.redis_url) as redis:
                epoch, restored = await redis.mget([keys.EPOCH, keys.RESTORED])
                running, owed = await redis.zcard(keys.RUNNING), await redis.xlen(keys.SPOOL)
        except (OSError, RedisError):
            return False
        is_restored = epoch is not None and restored == epoch
        return is_restored and running == 0 and owed == 0 and stack.model.seen.live_generations == 0

    await until(at_rest, timeout_seconds, pause_seconds=0.1)


async def held_rows(stack: FaultStack, players: Iterable[str]) -> list[RowHeld]:
    connection = await asyncpg.connect(stack.postgres_dsn)
    try:
        rows = await connection.fetch(ROWS, TENANT, list(players))
    finally:
        await connection.close()
    return [RowHeld(*row) for row in rows]


def held_calls(requests: Iterable[RecordedRequest], markers: set[str]) -> Iterator[ModelCall]:
    """Calls that answer one of these messages."""
    for request in requests:
        marker = asked_marker(request)
        if marker in markers:
            prompt = " ".join(str(message.get("content")) for message in request.messages)
            yield ModelCall(marker, request.arrived_at, request.ended_at, tuple(dict.fromkeys(MARKER.findall(prompt))))


def asked_marker(request: RecordedRequest) -> str:
    """Of the message this call answers. A prompt also quotes earlier ones; players number theirs upwards."""
    found = [
        marker
        for message in request.messages
        if message.get("role") == "user"
        for marker in MARKER.findall(str(message.get("content")))
    ]
    return max(found, key=_number, default="")


def _number(marker: str) -> int:
    digits = marker.strip("[]").rpartition(".")[2]
    return int(digits) if digits.isdigit() else 0
