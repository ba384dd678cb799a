"""The command line of the process."""

from __future__ import annotations

import pytest

from pmcp_persona.__main__ import main


def test_help_names_every_variable(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["pmcp_persona", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "PMCP_PERSONA_PORT (8001)" in shown
    assert "PMCP_POSTGRES_DSN (postgresql://postgres@127.0.0.1:5442/pmcp)" in shown
