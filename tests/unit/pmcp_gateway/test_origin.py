from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_gateway.origin import is_allowed, origins_of


@pytest.mark.parametrize(
    "origins",
    [
        ["null"],
        [""],
        ["http://evil.example"],
        ["http://localhost@evil.example"],
        ["http://localhost", "http://localhost"],
        ["http://[::1"],
        ["chrome-extension://localhost"],
    ],
)
def test_foreign_origins(origins: list[str]) -> None:
    assert not is_allowed(origins)


@pytest.mark.parametrize("origins", [[], ["http://localhost"], ["https://127.0.0.1:8080"], ["http://[::1]:3000"]])
def test_origins_of_this_machine(origins: list[str]) -> None:
    assert is_allowed(origins)


@given(st.binary())
def test_any_header_value_gets_an_answer(value: bytes) -> None:
    assert is_allowed(origins_of([(b"Host", b"x"), (b"Origin", value)])) in (True, False)
