"""`pmcp check-settings` shows everything, says every mistake, and no secret."""

from __future__ import annotations

import pytest

from pmcp_local.settings_report import WrongSettings, describe, read_checked_settings
from pmcp_local.stack import service_packages


def test_it_shows_value_unit_and_reason_of_each_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMCP_GATEWAY_PORT", "8123")
    report = describe([])
    at = report.lines.index(next(line for line in report.lines if "PMCP_GATEWAY_PORT = 8123" in line))
    assert "TCP port: clients connect here" in report.lines[at]
    assert report.mistakes == ()


def test_it_includes_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMCP_PERSONA_POOL_SIZE", "3")
    lines = describe(service_packages()).lines
    assert "pmcp_persona:" in lines
    assert any("PMCP_PERSONA_POOL_SIZE = 3" in line for line in lines)


def test_secrets_are_stars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMCP_MODEL_API_KEY", "open-sesame")
    text = "\n".join(describe(service_packages()).lines)
    assert "open-sesame" not in text
    assert "PMCP_MODEL_API_KEY = **********" in text


def test_every_mistake_of_every_process_is_said_once_and_names_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PMCP_PERSONA_PORT", "99999")
    monkeypatch.setenv("PMCP_START_TIMEOUT_SECONDS", "soon")
    monkeypatch.setenv("PMCP_PERSONA_POOL_SIZE", "0")
    mistakes = describe(service_packages()).mistakes
    variables = [mistake.partition(":")[0] for mistake in mistakes]
    assert sorted(variables) == ["PMCP_PERSONA_POOL_SIZE", "PMCP_PERSONA_PORT", "PMCP_START_TIMEOUT_SECONDS"]
    assert "(it is 'soon')" in "".join(mistakes)


def test_what_the_stack_tells_its_services_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMCP_MODEL_API", "embedded")
    assert describe(service_packages()).mistakes == ()


def test_a_start_with_mistakes_in_any_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMCP_PERSONA_POOL_SIZE", "0")
    with pytest.raises(WrongSettings, match="PMCP_PERSONA_POOL_SIZE"):
        read_checked_settings({"gateway_port": 9000}, service_packages())
    monkeypatch.delenv("PMCP_PERSONA_POOL_SIZE")
    assert read_checked_settings({"gateway_port": 9000}, service_packages()).gateway_port == 9000
