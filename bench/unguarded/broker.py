"""Queue and bus that promise nothing, in as few commands as possible.

Above it: `bench.unguarded.worker` and `.gateway`, which put them in the place of the real ones. Rule: what a client
gets while nothing goes wrong is the same, field by field.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson

from pmcp_common.bus import Attachment, Position
from pmcp_common.bus_redis import RedisStreamBus, encode_event
from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import NoActivePersona, StreamNotFound
from pmcp_common.contracts.jobs import (
    Accepted,
    AppendResult,
    Claim,
    ClaimRefusal,
    Declared,
    Delta,
    End,
    JobState,
    StreamPage,
    Submission,
    Verdict,
)
from pmcp_common.queue import Reaped
from pmcp_common.queue_arq import ArqJobQueue, QueueLimits
from pmcp_common.redis_link import BytesRedis, broker_errors

EPOCH = "none"
NEVER_SECONDS = 3600.0
ARQ_JOB_MS = 86_400_000
ARQ_SKEW_MS = 60_000
"""As the real queue has them."""


PUSH = """
local id, name = ARGV[1], ARGV[2]
if id == '' then
  local f = redis.call('HMGET', KEYS[1], 'persona_id', 'persona_name')
  if not f[1] then return false end
  id, name = f[1], f[2] or ''
end
-- The last of two equal names in a JSON object counts.
local persona = ',"persona_id":' .. cjson.encode(id) .. ',"persona_name":' .. cjson.encode(name) .. '}'
redis.call('RPUSH', KEYS[2], ARGV[3] .. persona .. ':1')
return { id, name }
"""


class UnguardedBus(RedisStreamBus):
    async def append(self, batch: Sequence[tuple[Claim, Delta]]) -> list[AppendResult]:
        events: dict[str, list[bytes]] = defaultdict(list)
        for claim, delta in batch:
            events[keys.gateway_channel(claim.submission.gateway_id)].append(encode_event(delta))
        with broker_errors():
            for channel, together in events.items():
                await self._redis.publish(channel, b"[" + b",".join(together) + b"]")
        return [AppendResult.OK] * len(batch)

    async def read(self, tenant: str, principal: str, stream_id: str, after_seq: int, limit: int = 1000) -> StreamPage:
        return StreamPage((), JobState.STREAMING, EPOCH, after_seq)

    async def attach(
        self, tenant: str, principal: str, gateway_id: str, positions: Sequence[Position]
    ) -> list[Attachment]:
        return [Attachment(EPOCH, reason="not_resumable") for _ in positions]


class UnguardedQueue(ArqJobQueue):
    def __init__(self, redis: BytesRedis, bus: RedisStreamBus, limits: QueueLimits | None = None) -> None:
        super().__init__(redis, bus, limits)
        self._push = redis.register_script(PUSH)

    async def submit(self, submission: Submission) -> Accepted:
        """One round trip, as the real one."""
        session = keys.session(submission.tenant, submission.session_id)
        persona = (submission.persona_id or "", submission.persona_name or "")
        entry = f"{submission.tenant}/".encode() + orjson.dumps(submission).rstrip(b"}")
        with broker_errors():
            found = await self._push(keys=[session, keys.wake(keys.REPLY_QUEUE)], args=[*persona, entry])
        if found is None:
            raise NoActivePersona
        persona_id, persona_name = (part.decode() for part in found)
        return Accepted(submission.job_id, submission.message_id, EPOCH, persona_id, persona_name)

    async def claim(
        self, tenant: str, job_id: str, ticket: str = "", claimant: str | None = None
    ) -> Claim | ClaimRefusal:
        """The entry is the whole message."""
        submission = Submission(**orjson.loads(job_id))
        waited_ms = max(0.0, time.time() * 1000 - submission.accepted_at_ms)
        return Claim(submission, submission.persona_id or "", 1, 1, 0, False, waited_ms)

    async def renew(self, claim: Claim) -> AppendResult:
        return AppendResult.OK

    async def declare(self, claim: Claim, verdict: Verdict) -> Declared:
        return Declared(AppendResult.OK)

    async def finish(self, claim: Claim, end: End, *, remember: bool) -> bool:
        channel = keys.gateway_channel(claim.submission.gateway_id)
        with broker_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                if remember:
                    _remember(pipe, claim.submission, end)
                pipe.publish(channel, b"[" + encode_event(end) + b"]")
                await pipe.execute()
        return True

    async def release(self, claim: Claim) -> bool:
        return False

    async def cancel(
        self,
        tenant: str,
        principal: str,
        job_id: str,
        *,
        heard_chars: int | None = None,
        attachment: int | None = None,
    ) -> str:
        raise StreamNotFound(job_id)

    async def heard_chars(self, claim: Claim) -> int | None:
        return None

    async def expire(self, tenant: str, principal: str, job_id: str) -> float:
        return NEVER_SECONDS

    async def accepted(
        self, tenant: str, principal: str, player_id: str, idempotency_keys: Sequence[str]
    ) -> list[Accepted | None]:
        return [None] * len(idempotency_keys)

    async def reap(self, limit: int = 100) -> Reaped:
        return Reaped(0, 0)


def _remember(pipe: Any, submission: Submission, end: End) -> None:
    """The off-path job: memory is a feature, not a guarantee."""
    now = int(time.time() * 1000)
    arguments = [submission.tenant, submission.job_id, end.user_message_id, end.message_id, end.processing_time]
    name = f"remember:{submission.job_id}"
    job: dict[str, Any] = {"t": None, "f": "remember", "a": arguments, "k": {}, "et": now}
    pipe.set(f"arq:job:{name}", orjson.dumps(job), px=ARQ_JOB_MS)
    pipe.zadd(keys.REMEMBER_QUEUE, {name: now - ARQ_SKEW_MS})
    pipe.rpush(keys.wake(keys.REMEMBER_QUEUE), name)
