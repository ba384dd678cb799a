from __future__ import annotations

import pytest
from pydantic import ValidationError

from pmcp_gateway.server import server_options
from pmcp_gateway.settings import GatewaySettings


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in GatewaySettings.model_fields.values())


def test_a_redis_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMCP_REDIS_URL", "redis://:hunter2@127.0.0.1/0")
    assert "hunter2" not in repr(GatewaySettings())


def test_limits_reach_the_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMCP_GATEWAY_MAX_IN_FLIGHT", "3")
    monkeypatch.setenv("PMCP_GATEWAY_OUTBOX_BYTES", "2048")
    limits = GatewaySettings().socket_limits()
    assert (limits.max_in_flight, limits.outbox.max_bytes) == (3, 2048)


def test_the_heartbeat_a_client_is_told_is_the_one_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMCP_GATEWAY_HEARTBEAT_SECONDS", "2")
    settings = GatewaySettings()
    assert settings.request_limits().heartbeat_seconds == 2.0
    assert server_options(settings.gateway_heartbeat_seconds)["ws_ping_timeout"] == 2.0


@pytest.mark.parametrize(("name", "value"), [("PMCP_GATEWAY_PORT", "70000"), ("PMCP_TENANT", "a b")])
def test_nonsense_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        GatewaySettings()
