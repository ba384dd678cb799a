from __future__ import annotations

from collections.abc import Set

import pytest

from pmcp_common.contracts.methods import METHODS
from pmcp_gateway.session import (
    AT_ONCE,
    CHANGING,
    FENCED,
    IDENTIFYING,
    PERSONA_NEEDS,
    REFUSED_WHOLE,
    WITHOUT_PERSONA,
    PersonaNeed,
    refusal,
)


def test_every_method_says_what_it_needs() -> None:
    assert PERSONA_NEEDS.keys() == METHODS.keys()
    assert PERSONA_NEEDS["persona.chat_stream"] is PersonaNeed.IN_BROKER


@pytest.mark.parametrize("table", [CHANGING, AT_ONCE, IDENTIFYING, FENCED, REFUSED_WHOLE, WITHOUT_PERSONA.keys()])
def test_a_table_names_only_methods_that_exist(table: Set[str]) -> None:
    assert table
    assert table <= METHODS.keys()


@pytest.mark.parametrize(("in_flight", "code"), [(0, None), (2, None), (3, -32005), (4, -32005)])
def test_admission_of_a_request_with_a_limit_of_three(in_flight: int, code: int | None) -> None:
    error = refusal(in_flight, 3)
    assert (error and error.code) == code


def test_a_reply_makes_nothing_wait_and_a_cancel_waits_for_nothing() -> None:
    assert METHODS.keys() > CHANGING | AT_ONCE
    assert not CHANGING & (AT_ONCE | {name for name in METHODS if METHODS[name].result is None})
    assert not CHANGING & {"persona.chat", "conversation.send_message", "conversation.advance"}
