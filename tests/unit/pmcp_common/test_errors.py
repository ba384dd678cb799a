"""The error table: one row a code, none of them another protocol's."""

from __future__ import annotations

import pytest

from pmcp_common.contracts import closing, errors


def test_codes_and_names_are_unique() -> None:
    assert len({row.code for row in errors.TABLE}) == len(errors.TABLE)
    assert len({row.name for row in errors.TABLE}) == len(errors.TABLE)


@pytest.mark.parametrize("row", errors.TABLE, ids=lambda row: row.name)
def test_codes_keep_out_of_the_range_reserved_for_the_model_context_protocol(row: errors.ErrorCode) -> None:
    assert row.code in range(-32019, -31999) or row.code in range(-32768, -32599)


def test_every_exception_of_the_tree_has_a_row_of_the_table() -> None:
    assert {cls.row for cls in errors.DomainError.__subclasses__()} <= set(errors.TABLE)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.PersonaNotFound("Bob"), "Persona not found: Bob"),
        (errors.NoActivePersona(), "No persona selected. Use persona.switch first"),
        (errors.CurrentPersonaNotFound("p1"), "Current persona not found (Persona not found: p1)"),
        (errors.PersonaUnavailable("Aria"), "Persona Aria is not available for interaction"),
        (errors.MethodNotFound("a.b"), "Method not found: a.b"),
    ],
)
def test_texts_that_existing_clients_match_on_are_kept(error: errors.DomainError, text: str) -> None:
    assert error.message == text


def test_an_error_of_another_process_keeps_its_code_and_text() -> None:
    error = errors.RemoteError(-32000, "Persona not found: x", persona_id="x")
    assert (error.code, error.message, error.data) == (-32000, "Persona not found: x", {"persona_id": "x"})
    assert errors.DomainError.row is errors.INTERNAL_ERROR


def test_an_unknown_code_of_another_process_is_an_internal_error() -> None:
    assert errors.RemoteError(1, "?").code == errors.INTERNAL_ERROR.code


def test_close_codes_are_unique_and_give_advice() -> None:
    assert len({code.code for code in closing.TABLE}) == len(closing.TABLE)
    assert {code.reconnect for code in closing.TABLE} <= {"yes", "no", "resume", "new", "later"}


def test_a_close_may_name_the_time_to_come_back() -> None:
    assert closing.seconds_away(closing.restart_reason(850)) == 0.85
    assert closing.seconds_away(closing.rate_reason(5)) == 5.0


@pytest.mark.parametrize("reason", ["", "service restart", "x; reconnect_ms=-1", "x; retry_after=soon", "x; y=5"])
def test_any_other_reason_names_no_time(reason: str) -> None:
    assert closing.seconds_away(reason) is None
