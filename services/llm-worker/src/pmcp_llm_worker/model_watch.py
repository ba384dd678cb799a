"""What this worker sees at its model server, looked up now and then and published for the gateways.

A missing or silent model is an error in the log, not the end of the worker: it answers with fallback lines and looks
again. Entries of workers that are gone are dropped by those that live.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Protocol

import orjson

from pmcp_common.clock import Clock
from pmcp_common.contracts.errors import DomainError
from pmcp_llm_worker import metrics
from pmcp_llm_worker.model import ModelClient, ModelReport

log = logging.getLogger(__name__)

PUBLISH_SECONDS = 10.0
LEAST_PAUSE_SECONDS = 1.0
VERIFY_SECONDS = 60.0
"""A model that is there is looked at this often; one that is not, at each publication."""
STALE_SECONDS = 30.0


class ModelsBoard(Protocol):
    """Port: what all workers of a tenant see, by worker id. Raises Unavailable. Adapter: `models_board_redis`."""

    async def put(self, tenant: str, worker_id: str, entry: bytes) -> None: ...

    async def entries(self, tenant: str) -> dict[str, bytes]: ...

    async def drop(self, tenant: str, worker_ids: list[str]) -> None: ...


class ModelWatch:
    def __init__(self, client: ModelClient, board: ModelsBoard, clock: Clock, tenant: str, worker_id: str) -> None:
        self._client = client
        self._board = board
        self._clock = clock
        self._tenant = tenant
        self._worker_id = worker_id
        self._verified = 0.0
        self._surprised = asyncio.Event()
        self.report: ModelReport | None = None
        self.last_answered_model = ""

    def note_answer(self, model: str | None) -> None:
        """The model that answered; None: a canned line stood in for it. What the last look did not tell is looked at
        soon."""
        if model is not None:
            self.last_answered_model = model
        if self.report is not None and self.report.ok == (model is None):
            self._surprised.set()

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LEAST_PAUSE_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PUBLISH_SECONDS - LEAST_PAUSE_SECONDS):
                    await self._surprised.wait()

    async def look(self) -> None:
        """Verify when it is time, publish, and drop what the dead have left."""
        now, surprised = self._clock.monotonic(), self._surprised.is_set()
        self._surprised.clear()
        if self.report is None or not self.report.ok or surprised or now - self._verified >= VERIFY_SECONDS:
            self._verified = now
            self._take(await self._client.verify())
        try:
            await self._publish()
        except DomainError as error:
            log.warning("model state not published", extra={"code": error.code})

    def _take(self, report: ModelReport) -> None:
        before, self.report = self.report, report
        metrics.MODEL_OK.set(1 if report.ok else 0)
        fields = {"provider": report.provider, "model": report.current_model}
        if report.ok and (before is None or not before.ok):
            log.info("model verified", extra=fields)
        elif not report.ok and (before is None or before.ok or before.reason != report.reason):
            log.error("model not usable, answering with fallback lines", extra={**fields, "reason": report.reason})

    async def _publish(self) -> None:
        await self._board.put(self._tenant, self._worker_id, self._entry())
        oldest = self._now_ms() - STALE_SECONDS * 1000
        entries = await self._board.entries(self._tenant)
        stale = [name for name, entry in entries.items() if seen_at_ms(entry) < oldest]
        if stale:
            await self._board.drop(self._tenant, stale)

    def _entry(self) -> bytes:
        report = self.report
        assert report is not None
        return orjson.dumps(
            {
                "provider": report.provider,
                "current_model": report.current_model,
                "available_models": report.available_models,
                "ok": report.ok,
                "reason": report.reason,
                "verified_at": report.verified_at,
                "seen_at_ms": self._now_ms(),
                "last_answered_model": self.last_answered_model,
            }
        )

    def _now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)

    async def leave(self) -> None:
        """This worker is going: its entry goes first."""
        try:
            await self._board.drop(self._tenant, [self._worker_id])
        except DomainError:
            log.debug("model entry left behind")


def seen_at_ms(entry: bytes) -> float:
    """0 for what is no entry."""
    try:
        return float(orjson.loads(entry)["seen_at_ms"])
    except (ValueError, TypeError, KeyError):
        return 0.0
