"""`JobBacklog` on Redis: `submit.lua` and `finish.lua` note what is owed, `ledger.lua` hands it to one keeper."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import Any

import orjson

from pmcp_common.bus import UNREADABLE
from pmcp_common.contracts import keys
from pmcp_common.contracts.accepted_jobs import AcceptedJob, JobName
from pmcp_common.job_record_redis import RedisRecordMarks, member
from pmcp_common.redis_link import BytesRedis, Script, broker_errors
from pmcp_llm_worker.job_ledger import Backlog

log = logging.getLogger(__name__)

KEEPER_MS = 3000
GATEWAYS_MS = 1000
"""A gateway records what it accepts at once, or gives up within this time."""


class RedisJobBacklog(RedisRecordMarks):
    def __init__(self, redis: BytesRedis, keeper: str, gateways_ms: int = GATEWAYS_MS) -> None:
        """`keeper`: this process. `gateways_ms`: so long a job is left to the gateway that accepted it."""
        super().__init__(redis)
        self._redis: Any = redis
        self._keeper = keeper
        self._gateways_ms = gateways_ms
        self._ledger, self._restored = Script(redis, "ledger"), Script(redis, "restored")

    async def look(self, limit: int) -> Backlog | None:
        epoch, ours, accepted, settled, restored = await self._ledger(
            [keys.EPOCH, keys.LEDGER_LEASE, keys.RESTORED, keys.SPOOL],
            [self._keeper, uuid.uuid4().hex, KEEPER_MS, limit, self._gateways_ms],
        )
        if not ours:
            return None
        jobs = (_accepted(epoch.decode(), fields) for fields in accepted)
        readable = [job for job in jobs if job is not None]
        return Backlog(epoch.decode(), readable, [_name(member) for member in settled], restored == epoch)

    async def forgotten(self, jobs: Sequence[JobName]) -> None:
        with broker_errors():
            await self._redis.zrem(keys.SETTLED, *(member(job) for job in jobs))

    async def announce_loss(self) -> None:
        with broker_errors():
            await self._redis.publish(keys.CANCEL_CHANNEL, b"")

    async def restoring(self, epoch: str) -> None:
        with broker_errors():
            await self._redis.set(keys.RESTORED, f"?{epoch}")

    async def restored(self, epoch: str) -> bool:
        return bool(await self._restored([keys.RESTORED], [epoch]))


def _name(member: bytes) -> JobName:
    tenant, _, job_id = member.decode().partition("/")
    return JobName(tenant=tenant, job_id=job_id)


def _accepted(epoch: str, stored: Sequence[bytes]) -> AcceptedJob | None:
    """None: it cannot be read, and goes unrecorded."""
    try:
        return _recordable(epoch, *stored)
    except UNREADABLE:
        log.exception("accepted job cannot be read")
        return None


def _recordable(epoch: str, member: bytes, submission: bytes, persona_id: bytes, persona_name: bytes) -> AcceptedJob:
    """The message may name no persona: its session's was taken, and the session is lost with the rest."""
    fields = orjson.loads(submission)
    fields |= {"persona_id": persona_id.decode(), "persona_name": persona_name.decode()}
    name = _name(member)
    return AcceptedJob(
        tenant=name.tenant,
        job_id=name.job_id,
        epoch=epoch,
        accepted_at_ms=fields["accepted_at_ms"],
        submission=orjson.dumps(fields).decode(),
    )
