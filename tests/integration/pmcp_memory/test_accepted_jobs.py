"""The record of accepted jobs on real PostgreSQL: written once, taken away once, asked for what another life lost."""

from __future__ import annotations

import pytest

from pmcp_common.contracts.accepted_jobs import MAX_JOBS, MAX_SUBMISSION_CHARS
from tests.integration.pmcp_memory.conftest import Service


def job(number: int, epoch: str = "first", tenant: str = "local") -> dict[str, object]:
    return {
        "tenant": tenant,
        "job_id": f"job-{number}",
        "epoch": epoch,
        "accepted_at_ms": 1000 + number,
        "submission": f'{{"job_id":"job-{number}"}}',
    }


async def call(service: Service, verb: str, **body: object) -> dict[str, object]:
    answer = await service.http.post(f"/v1/accepted-jobs/{verb}", json=body)
    assert answer.status_code == 200, answer.text
    document: dict[str, object] = answer.json()
    return document


async def lost(service: Service, epoch: str) -> list[str]:
    jobs = (await call(service, "lost", epoch=epoch))["jobs"]
    assert isinstance(jobs, list)
    return [found["job_id"] for found in jobs]


async def test_jobs_of_another_life_are_the_lost_ones_oldest_first(service: Service) -> None:
    await call(service, "record", jobs=[job(2), job(1), job(3, epoch="second")])
    assert await lost(service, "first") == ["job-3"]
    assert await lost(service, "second") == ["job-1", "job-2"]


async def test_recording_again_moves_a_job_to_its_new_life(service: Service) -> None:
    await call(service, "record", jobs=[job(1), job(1)])
    await call(service, "record", jobs=[job(1, epoch="second")])
    assert await lost(service, "second") == []
    assert await lost(service, "third") == ["job-1"]


async def test_a_settled_job_leaves_and_leaving_twice_does_nothing(service: Service) -> None:
    await call(service, "record", jobs=[job(1), job(1, tenant="other")])
    name = {"tenant": "local", "job_id": "job-1"}
    assert (await call(service, "settle", jobs=[name]))["rows"] == 1
    assert (await call(service, "settle", jobs=[name]))["rows"] == 0
    assert await lost(service, "second") == ["job-1"]


async def test_what_was_accepted_too_long_ago_leaves_the_record(service: Service) -> None:
    await call(service, "record", jobs=[job(1), job(2), job(3, tenant="other")])
    assert (await call(service, "purge", accepted_before_ms=1002))["rows"] == 1
    assert await lost(service, "second") == ["job-2", "job-3"]
    assert (await call(service, "purge", accepted_before_ms=1002))["rows"] == 0


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("record", {"jobs": [job(number) for number in range(MAX_JOBS + 1)]}),
        ("record", {"jobs": [job(1) | {"submission": "x" * (MAX_SUBMISSION_CHARS + 1)}]}),
        ("lost", {"epoch": "", "limit": 1}),
        ("purge", {"accepted_before_ms": -1}),
        ("lost", {"epoch": "x", "limit": MAX_JOBS + 1}),
    ],
)
async def test_what_is_out_of_bounds_is_refused(service: Service, verb: str, body: dict[str, object]) -> None:
    assert (await service.http.post(f"/v1/accepted-jobs/{verb}", json=body)).status_code == 422
