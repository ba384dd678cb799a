from __future__ import annotations

import pytest

from pmcp_common.contracts.loopback import is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST", "localhost."])
def test_loopback_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "", "localhost.evil.example", "127.0.0.1.nip.io"])
def test_other_names(host: str) -> None:
    assert not is_loopback(host)
