"""`StreamBus` on Redis: one Redis Stream per generation, one pub/sub channel per gateway."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import orjson
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from pmcp_common.bus import Attachment, Position
from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import StreamNotFound
from pmcp_common.contracts.jobs import AppendResult, Claim, Delta, End, JobState, StreamEvent, StreamPage
from pmcp_common.redis_link import BytesRedis, Script, broker_errors, connect_blocking

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.2
PING_SECONDS = 5.0
"""Between pings on a subscription, which may have nothing to say for hours."""
PONG_SECONDS = 5.0
"""A subscription that answers no ping for so long is given up and made anew: its link may be dead and not know it."""
OUTAGE_LOG_SECONDS = 30.0
GIVEN_UP_SECONDS = 1800
"""Longer than any record of an accepted job is kept."""
END_FIELDS = frozenset(End.__dataclass_fields__)


def encode_event(event: StreamEvent) -> bytes:
    return orjson.dumps(event)


def decode_event(fields: dict[str, Any]) -> StreamEvent:
    """Unknown fields of an end are dropped: a newer worker may say more than this reader knows."""
    if fields["kind"] == "delta":
        return Delta(fields["stream_id"], fields["seq"], fields["attempt"], fields["text"])
    return End(**{name: value for name, value in fields.items() if name in END_FIELDS})


class RedisStreamBus:
    def __init__(self, redis: BytesRedis, url: str, *, lease_seconds: float = 10.0) -> None:
        self._redis = redis
        self._url = url
        self._lease_ms = int(lease_seconds * 1000)
        self._append = Script(redis, "append")
        self._attach = Script(redis, "attach")
        self._give_up = Script(redis, "give_up")

    async def append(self, batch: Sequence[tuple[Claim, Delta]]) -> list[AppendResult]:
        names = [keys.RUNNING]
        args: list[str | int | bytes] = [self._lease_ms]
        for claim, delta in batch:
            tenant, job_id = claim.submission.tenant, claim.submission.job_id
            names += [keys.job(tenant, job_id), keys.tokens(tenant, job_id)]
            args += [f"{tenant}/{job_id}", claim.fence, delta.seq, encode_event(delta)]
        return [AppendResult(result.decode()) for result in await self._append(names, args)]

    async def read(self, tenant: str, principal: str, stream_id: str, after_seq: int, limit: int = 1000) -> StreamPage:
        with broker_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hmget(keys.job(tenant, stream_id), ["principal", "state", "seq", "epoch"])
                pipe.xrange(keys.tokens(tenant, stream_id), min=f"{after_seq + 1}-0", count=limit)
                (owner, state, seq, epoch), entries = await pipe.execute()
        if owner is None or owner.decode() != principal:
            raise StreamNotFound(stream_id)
        events = tuple(decode_event(orjson.loads(fields[b"e"])) for _, fields in entries)
        return StreamPage(events, JobState(state.decode()), epoch.decode(), int(seq))

    async def attach(
        self, tenant: str, principal: str, gateway_id: str, positions: Sequence[Position]
    ) -> list[Attachment]:
        names = [keys.EPOCH]
        args: list[str | int | bytes] = [principal, keys.gateway_channel(gateway_id)]
        for position in positions:
            names += [keys.job(tenant, position.stream_id), keys.tokens(tenant, position.stream_id)]
            args += [position.epoch, position.last_seq]
        return [_attachment(answer) for answer in await self._attach(names, args)]

    async def give_up(self, tenant: str, stream_id: str, *, at_once: bool = False) -> bool:
        names = [keys.job(tenant, stream_id), keys.given_up(tenant, stream_id), keys.EPOCH, keys.RESTORED]
        return bool(await self._give_up(names, [GIVEN_UP_SECONDS, "1" if at_once else ""]))

    async def subscribe(self, gateway_id: str) -> AsyncIterator[Sequence[StreamEvent]]:
        channel = keys.gateway_channel(gateway_id)
        async with aclosing(channel_messages(self._url, channel)) as messages:
            async for data in messages:
                yield [] if data is None else [decode_event(fields) for fields in orjson.loads(data)]

    async def cancellations(self) -> AsyncGenerator[tuple[str, str] | None, None]:
        async with aclosing(channel_messages(self._url, keys.CANCEL_CHANNEL)) as messages:
            async for data in messages:
                if not data:  # subscribed anew, or the keeper of the ledger says that data was lost
                    yield None
                    continue
                tenant, _, job_id = data.decode().partition("/")
                yield tenant, job_id


async def channel_messages(url: str, channel: str) -> AsyncGenerator[bytes | None, None]:
    """Messages of one channel for ever; None when (again) subscribed. A lost connection is normal."""
    outage = _Outage(channel)
    while True:
        try:
            async with aclosing(_subscription(url, channel)) as messages:
                async for message in messages:
                    if message["type"] == "subscribe":
                        outage.over()
                        yield None
                    elif message["type"] == "message":
                        yield message["data"]
        except (RedisError, OSError) as error:
            outage.note(error, time.monotonic())
        await asyncio.sleep(RECONNECT_SECONDS)


async def _subscription(url: str, channel: str) -> AsyncGenerator[dict[str, Any], None]:
    """What one connection brings, until it breaks. Raises TimeoutError when it brings nothing, not even a pong."""
    redis = connect_blocking(url)
    try:
        async with redis.pubsub() as pubsub:
            async with asyncio.timeout(PONG_SECONDS):
                await pubsub.subscribe(channel)
            listening = pubsub.listen()
            beat = asyncio.create_task(_beat(pubsub))
            try:
                while True:
                    async with asyncio.timeout(PING_SECONDS + PONG_SECONDS):
                        message = await anext(listening)
                    yield message
            finally:
                beat.cancel()
                await asyncio.gather(beat, return_exceptions=True)
    finally:
        await redis.aclose()


async def _beat(pubsub: PubSub) -> None:
    """Pongs come among the messages. A write that fails shows there too."""
    while True:
        await asyncio.sleep(PING_SECONDS)
        await pubsub.ping()


class _Outage:
    """One line when a subscription is lost, one each OUTAGE_LOG_SECONDS while it stays lost, one when it is back."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._attempts = 0
        self._next_line = 0.0

    def note(self, error: Exception, now: float) -> None:
        self._attempts += 1
        if self._attempts == 1 or now >= self._next_line:
            self._next_line = now + OUTAGE_LOG_SECONDS
            fields = {"channel": self._channel, "error": type(error).__name__, "attempts": self._attempts}
            log.warning("subscription lost", extra=fields)

    def over(self) -> None:
        if self._attempts:
            log.info("subscription stands again", extra={"channel": self._channel, "attempts": self._attempts})
        self._attempts = 0


def _attachment(answer: Sequence[Any]) -> Attachment:
    if answer[0] != b"OK":
        return Attachment(answer[1].decode(), reason=answer[0].decode())
    _, epoch, state, head_seq, attachment, on_interrupt = answer
    return Attachment(epoch.decode(), JobState(state.decode()), int(head_seq), int(attachment), on_interrupt.decode())
