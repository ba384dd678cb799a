"""The HTTP face of the record of accepted jobs. Internal: only gateways and workers call it, for all tenants."""

from __future__ import annotations

from fastapi import APIRouter

from pmcp_common.contracts.accepted_jobs import AcceptedJobs, LostJobsQuery, OldJobs, RowsChanged, SettledJobs
from pmcp_memory.accepted_jobs import AcceptedJobStore


def accepted_job_routes(store: AcceptedJobStore) -> APIRouter:
    router = APIRouter(prefix="/v1/accepted-jobs")

    @router.post("/record")
    async def record(body: AcceptedJobs) -> RowsChanged:
        return RowsChanged(rows=await store.record(body.jobs))

    @router.post("/settle")
    async def settle(body: SettledJobs) -> RowsChanged:
        return RowsChanged(rows=await store.settle(body.jobs))

    @router.post("/lost")
    async def lost(body: LostJobsQuery) -> AcceptedJobs:
        return AcceptedJobs(jobs=await store.lost(body.epoch, body.limit))

    @router.post("/purge")
    async def purge(body: OldJobs) -> RowsChanged:
        return RowsChanged(rows=await store.purge(body.accepted_before_ms))

    return router
