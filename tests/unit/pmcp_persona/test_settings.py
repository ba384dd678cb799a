"""Settings come from PMCP_ variables, are checked at start, and never show the DSN's password."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pmcp_persona.settings import PersonaSettings


def test_a_variable_overrides_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMCP_PERSONA_PORT", "9001")
    assert PersonaSettings().persona_port == 9001


def test_a_port_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMCP_PERSONA_PORT", "70000")
    with pytest.raises(ValidationError):
        PersonaSettings()


def test_settings_do_not_change() -> None:
    settings = PersonaSettings()
    with pytest.raises(ValidationError):
        settings.persona_port = 1  # type: ignore[misc]


def test_the_password_of_the_database_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMCP_POSTGRES_DSN", "postgresql://pmcp:hunter2@db/pmcp")
    settings = PersonaSettings()
    assert "hunter2" not in repr(settings)
    assert settings.postgres_dsn.get_secret_value() == "postgresql://pmcp:hunter2@db/pmcp"


def test_every_setting_says_what_it_is_for() -> None:
    assert all(field.description for field in PersonaSettings.model_fields.values())
