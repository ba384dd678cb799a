"""The stack as a list: what is told to whom, and who waits for whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from pmcp_local.model_choice import ModelChoice
from pmcp_local.settings import read_settings
from pmcp_local.stack import compose
from pmcp_local.supervisor import order_by_need

EMBEDDED = ModelChoice("openai", "http://127.0.0.1:8010", "small", True, "test")
OLLAMA = ModelChoice("ollama", "http://127.0.0.1:11434", "llama3.1:8b", False, "test")


def _names(levels: list[list[object]]) -> list[list[str]]:
    return [[part.name for part in level] for level in levels]  # type: ignore[attr-defined]


def test_servers_start_first_then_the_owners_of_rows_then_the_rest(tmp_path: Path) -> None:
    stack = compose(read_settings({}), tmp_path, EMBEDDED, {}, gateways=2, workers=2)
    assert _names(list(map(list, order_by_need(stack.parts)))) == [
        ["postgres", "valkey", "model"],
        ["persona", "memory"],
        ["worker", "worker-2", "gateway", "gateway-2"],
    ]


def test_no_model_is_started_when_another_answers(tmp_path: Path) -> None:
    stack = compose(read_settings({}), tmp_path, OLLAMA, {})
    assert "model" not in [part.name for part in stack.parts]


def test_every_service_is_told_where_its_neighbours_are(tmp_path: Path) -> None:
    settings = read_settings({"postgres_port": 5499, "valkey_port": 6399, "memory_port": 8102})
    stack = compose(settings, tmp_path, OLLAMA, {"PATH": "/bin", "PMCP_TENANT": "other"})
    (worker,) = [part for part in stack.parts if part.name == "worker"]
    assert worker.environment["PATH"] == "/bin"
    assert worker.environment["PMCP_TENANT"] == "local"
    assert worker.environment["PMCP_POSTGRES_DSN"] == "postgresql://postgres@127.0.0.1:5499/pmcp"
    assert worker.environment["PMCP_REDIS_URL"] == "redis://127.0.0.1:6399/0"
    assert worker.environment["PMCP_MEMORY_URL"] == "http://127.0.0.1:8102"
    assert worker.environment["PMCP_MODEL_API"] == "ollama"
    assert worker.environment["PMCP_MODEL_NAME"] == "llama3.1:8b"
    assert worker.environment["PMCP_DATA_DIR"] == str(tmp_path)
    assert "PMCP_WORKER_MAX_JOBS" not in worker.environment


@pytest.mark.parametrize(("asked", "told"), [(None, "4"), (7, "7")])
def test_a_worker_takes_as_many_jobs_as_the_embedded_model_has_slots(
    tmp_path: Path, asked: int | None, told: str
) -> None:
    stack = compose(read_settings({"worker_max_jobs": asked}), tmp_path, EMBEDDED, {})
    assert stack.parts[-1].environment["PMCP_WORKER_MAX_JOBS"] == told


def test_further_gateways_count_up_past_the_other_ports(tmp_path: Path) -> None:
    stack = compose(read_settings({}), tmp_path, OLLAMA, {}, gateways=3)
    assert stack.gateway_urls == (
        "ws://127.0.0.1:8000/mcp",
        "ws://127.0.0.1:8004/mcp",
        "ws://127.0.0.1:8005/mcp",
    )
    ports = [part.environment["PMCP_GATEWAY_PORT"] for part in stack.parts if part.name.startswith("gateway")]
    assert ports == ["8000", "8004", "8005"]
