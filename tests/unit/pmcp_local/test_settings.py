"""Settings come from flags, then the environment; every port is one of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pmcp_local.settings import LocalSettings, default_ports, environment_name, read_settings


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMCP_GATEWAY_PORT", "8100")
    assert read_settings({}).gateway_port == 8100
    assert read_settings({"gateway_port": 8200}).gateway_port == 8200
    assert read_settings({"gateway_port": None}).gateway_port == 8100


def test_the_data_directory_and_older_names_of_others_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMCP_DATA_DIR", "elsewhere")
    monkeypatch.setenv("OLLAMA_HOST", "gpu-box:11434")
    monkeypatch.setenv("DEFAULT_MODEL", "llama3.1:8b")
    settings = read_settings({})
    assert (settings.data_dir, settings.ollama_host, settings.default_model) == (
        Path("elsewhere"),
        "gpu-box:11434",
        "llama3.1:8b",
    )


def test_all_mistakes_are_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMCP_GATEWAY_PORT", "0")
    monkeypatch.setenv("PMCP_MODEL_API", "oracle")
    monkeypatch.setenv("SERVER_HOST", "0.0.0.0")
    with pytest.raises(ValidationError) as caught:
        read_settings({"stop_timeout_seconds": -1})
    assert caught.value.error_count() == 4


def test_no_two_ports_are_the_same_by_default() -> None:
    ports = [LocalSettings.model_fields[name].default for name in default_ports()]
    assert len(ports) == 7
    assert len(set(ports)) == len(ports)


def test_every_setting_says_its_unit_and_its_reason() -> None:
    for name, field in LocalSettings.model_fields.items():
        assert field.description, name
        assert isinstance(field.json_schema_extra, dict), name
        assert field.json_schema_extra["unit"], name


def test_a_setting_knows_its_variable() -> None:
    assert environment_name("postgres_port") == "PMCP_POSTGRES_PORT"
    assert environment_name("ollama_host") == "OLLAMA_HOST"
