"""The command explains itself."""

from __future__ import annotations

import sys

import pytest

from pmcp_llm_worker.__main__ import main


def test_help_names_every_setting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["pmcp_llm_worker", "--help"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert "PMCP_MODEL_NAME (llama3.1:8b)" in printed
    assert "PMCP_WORKER_PORT (8003)" in printed
