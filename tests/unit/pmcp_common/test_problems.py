"""An error crosses HTTP and comes out as the same code and text."""

from __future__ import annotations

import orjson
import pytest

from pmcp_common import problems
from pmcp_common.contracts.errors import INTERNAL_ERROR, TABLE, DomainError, PersonaNotFound


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_code_of_the_table_survives_the_crossing(row: object) -> None:
    error = type("Sample", (DomainError,), {"row": row})("the text", field="value")
    status, body = problems.from_error(error)
    received = problems.to_error(status, body)
    assert (received.row, received.message, received.data) == (error.row, "the text", {"field": "value"})
    assert status == error.row.http_status


def test_the_body_is_a_problem_document() -> None:
    status, body = problems.from_error(PersonaNotFound("nobody"))
    document = orjson.loads(body)
    assert status == 404
    assert document["status"] == 404
    assert document["type"] == "urn:pmcp:error:persona_not_found"
    assert document["detail"] == "Persona not found: nobody"
    assert document["retryable"] is False


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"3", b"{}", b'{"code":1,"detail":"x"}', b'{"code":[]}'])
def test_an_answer_that_is_no_problem_document_is_an_internal_error(body: bytes) -> None:
    received = problems.to_error(502, body)
    assert received.row is INTERNAL_ERROR
    assert received.data == {"status": 502}


def test_faults_name_place_and_rule_and_never_the_value() -> None:
    _, body = problems.from_faults(
        [{"loc": ("body", "turns", 0, "content"), "type": "string_type", "input": "whispered", "msg": "whispered"}]
    )
    assert b"whispered" not in body
    assert orjson.loads(body)["data"]["faults"] == [{"field": "body.turns.0.content", "rule": "string_type"}]


def test_a_long_field_name_is_cut() -> None:
    _, body = problems.from_faults([{"loc": ("body", "x" * 100_000), "type": "extra_forbidden"}] * 100)
    assert len(body) < 10_000
