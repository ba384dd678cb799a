"""Settings: documented defaults, honest limits, no secret in print."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pmcp_llm_worker.settings import WorkerSettings


def test_the_defaults_are_those_of_the_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = WorkerSettings()
    assert (settings.model_api, settings.model_url) == ("ollama", "http://127.0.0.1:11434")
    assert settings.model_name == "llama3.1:8b"
    assert settings.worker_port == 8003
    assert settings.worker_max_jobs == 16


def test_a_key_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMCP_MODEL_API_KEY", "sk-very-secret")
    assert "sk-very-secret" not in repr(WorkerSettings())


def test_a_reply_may_not_fill_the_window() -> None:
    with pytest.raises(ValidationError, match="PMCP_MODEL_MAX_TOKENS"):
        WorkerSettings(model_num_ctx=512, model_max_tokens=400)


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in WorkerSettings.model_fields.values())
