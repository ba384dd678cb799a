"""pmcp.toml < older names < .env < environment < flags; every mistake at once and no stack trace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, SecretStr, ValidationError

from pmcp_common.configuration import (
    ConfigurationError,
    Settings,
    explain_mistakes,
    read_file,
    read_or_exit,
    unknown_keys,
)


class Sample(Settings):
    older_names: ClassVar[Mapping[str, str]] = {"SERVER_PORT": "gateway_port"}

    gateway_port: int = Field(default=8000, ge=1)
    gateway_name: str = "g"
    key: SecretStr | None = None


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_source_wins_over_the_one_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Sample().gateway_port == 8000
    (folder / "pmcp.toml").write_text("gateway_port = 1001\n")
    assert Sample().gateway_port == 1001
    monkeypatch.setenv("SERVER_PORT", "1002")
    assert Sample().gateway_port == 1002
    (folder / ".env").write_text("PMCP_GATEWAY_PORT=1003\n")
    assert Sample().gateway_port == 1003
    monkeypatch.setenv("PMCP_GATEWAY_PORT", "1004")
    assert Sample().gateway_port == 1004
    assert Sample(gateway_port=1005).gateway_port == 1005


def test_older_names_are_read_from_the_env_file(folder: Path) -> None:
    (folder / ".env").write_text("SERVER_HOST=localhost\nSERVER_PORT=9000\n")
    assert Sample().gateway_port == 9000


def test_a_table_of_the_file_is_a_prefix(folder: Path) -> None:
    (folder / "pmcp.toml").write_text('[gateway]\nport = 7\nname = "door"\n')
    settings = Sample()
    assert (settings.gateway_port, settings.gateway_name) == (7, "door")


def test_another_file_can_be_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "other.toml").write_text("gateway_port = 5\n")
    monkeypatch.setenv("PMCP_CONFIG", "other.toml")
    assert Sample().gateway_port == 5
    monkeypatch.setenv("PMCP_CONFIG", "missing.toml")
    with pytest.raises(ConfigurationError, match=r"missing\.toml: cannot be read"):
        Sample()


def test_a_file_that_is_not_toml_is_said_to_be_so(folder: Path) -> None:
    (folder / "pmcp.toml").write_text("gateway_port = \n")
    with pytest.raises(ConfigurationError, match="is not TOML"):
        read_file()


def test_a_key_nobody_knows_is_a_slip_of_the_pen(folder: Path) -> None:
    (folder / "pmcp.toml").write_text("[gateway]\nprot = 1\nport = 2\n")
    assert unknown_keys([Sample]) == ["gateway_prot in pmcp.toml: there is no such setting."]


def test_all_mistakes_are_told_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError) as caught:
        Sample(gateway_port=0, gateway_name=3, key=["hunter2"])
    text = "\n".join(explain_mistakes(caught.value, Sample))
    assert "PMCP_GATEWAY_PORT: Input should be greater than or equal to 1 (it is 0)." in text
    assert "PMCP_GATEWAY_NAME" in text
    assert "PMCP_KEY" in text
    assert "hunter2" not in text


def test_a_process_with_wrong_settings_ends_with_their_list(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PMCP_GATEWAY_PORT", "many")
    with pytest.raises(SystemExit) as left:
        read_or_exit(Sample)
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("PMCP_GATEWAY_PORT: ")
