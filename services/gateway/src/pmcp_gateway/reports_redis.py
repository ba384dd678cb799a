"""`WorkerReports` on Redis: a HASH with one JSON report per worker, and the ZSET of conversations by time."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, cast

import orjson

from pmcp_common.contracts import keys
from pmcp_common.redis_link import BytesRedis, broker_errors
from pmcp_gateway.stores import REPORT_SECONDS, ModelReport


class RedisReports:
    def __init__(self, redis: BytesRedis) -> None:
        self._redis = redis

    async def models(self, tenant: str, now_ms: int) -> tuple[ModelReport, ...]:
        with broker_errors():
            stored = await cast(Awaitable[list[bytes]], self._redis.hvals(keys.models(tenant)))
        oldest = now_ms - REPORT_SECONDS * 1000
        reports = [report for value in stored if (report := _report(value)) and report.seen_at_ms >= oldest]
        return tuple(sorted(reports, key=lambda report: -report.seen_at_ms))

    async def active_conversations(self, tenant: str, since_ms: int) -> int:
        with broker_errors():
            return int(await self._redis.zcount(keys.conversations(tenant), since_ms, "+inf"))


def _report(value: bytes) -> ModelReport | None:
    """None for what no worker of ours wrote."""
    try:
        fields: dict[str, Any] = orjson.loads(value)
        return ModelReport(
            provider=str(fields["provider"]),
            current_model=fields.get("current_model"),
            available_models=tuple(str(name) for name in fields.get("available_models", ())),
            ok=fields.get("ok") is True,
            reason=fields.get("reason"),
            seen_at_ms=int(fields["seen_at_ms"]),
            last_answered_model=fields.get("last_answered_model"),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None
