from __future__ import annotations

from typing import Any

import pytest

from pmcp_common.contracts.methods import METHODS
from pmcp_gateway.session import PERSONA_NEEDS, PersonaNeed, refusal


def test_every_method_says_what_it_needs() -> None:
    assert PERSONA_NEEDS.keys() == METHODS.keys()
    assert PERSONA_NEEDS["persona.chat_stream"] is PersonaNeed.IN_BROKER


@pytest.mark.parametrize(
    ("in_flight", "number", "code"),
    [
        ([], "a", None),
        (["a"], "b", None),
        (["a"], "a", -32600),
        ([1], 1, -32600),
        ([1], "1", None),
        (["a", "b"], None, None),
        (["a", "b", "c"], "d", -32005),
        (["a", "b", "c"], "a", -32600),
        (["a", "b", "c"], None, -32005),
    ],
)
def test_admission_of_a_request_with_a_limit_of_three(in_flight: list[Any], number: Any, code: int | None) -> None:
    error = refusal(dict.fromkeys(in_flight).keys(), number, 3)
    assert (error and error.code) == code
