"""The command line explains itself."""

from __future__ import annotations

import pytest

from pmcp_local.arguments import build_parser, given_settings, parse


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(command in text for command in ("up", "demo", "chat", "check-settings"))


@pytest.mark.parametrize("command", ["up", "demo"])
def test_help_of_a_command_names_its_ports_with_their_variables(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--gateway-port" in text
    assert "PMCP_GATEWAY_PORT" in text
    assert "(default 8000)" in text


def test_flags_that_are_settings_are_handed_on_when_given() -> None:
    options = parse(["up", "--gateway-port", "8100", "--data-dir", "elsewhere"])
    given = {name: value for name, value in given_settings(options).items() if value is not None}
    assert {name: str(value) for name, value in given.items()} == {"gateway_port": "8100", "data_dir": "elsewhere"}


@pytest.mark.parametrize("words", [[], ["fly"], ["up", "--gateways", "0"], ["up", "--workers", "many"]])
def test_what_makes_no_sense_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(words)
    assert ended.value.code == 2
    assert "usage: pmcp" in capsys.readouterr().err


def test_the_program_has_its_name_however_it_is_started() -> None:
    assert build_parser().prog == "pmcp"
