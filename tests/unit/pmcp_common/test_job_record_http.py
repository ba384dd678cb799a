"""How the record of accepted jobs is cut into requests."""

from __future__ import annotations

from pmcp_common.contracts.accepted_jobs import MAX_SUBMISSION_CHARS, AcceptedJob
from pmcp_common.job_record_http import PART_BYTES, _parts


def job(number: int, submission: str) -> AcceptedJob:
    return AcceptedJob(tenant="local", job_id=f"job-{number}", epoch="e", accepted_at_ms=0, submission=submission)


def test_small_jobs_go_in_one_request() -> None:
    jobs = [job(number, "{}") for number in range(64)]
    assert list(_parts(jobs)) == [tuple(jobs)]


def test_large_jobs_go_in_several_requests_in_order() -> None:
    jobs = [job(number, '"' * (PART_BYTES // 5)) for number in range(5)]  # two bytes for one
    assert [len(part) for part in _parts(jobs)] == [2, 2, 1]
    assert [one for part in _parts(jobs) for one in part] == jobs


def test_a_job_larger_than_a_part_goes_alone() -> None:
    jobs = [job(number, "\x01" * MAX_SUBMISSION_CHARS) for number in range(2)]
    assert [len(part) for part in _parts(jobs)] == [1, 1]


def test_nothing_is_asked_for_no_jobs() -> None:
    assert list(_parts([])) == []
