"""What the one-machine stack can be told, from pmcp.toml, the environment or flags: values only, no decisions.

Read in the command's composition root (`cli`). The services read their own settings; what they need from here
reaches them as environment variables of their processes (`stack`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import AliasChoices, Field, SecretStr

from pmcp_common.configuration import Settings
from pmcp_common.contracts.loopback import LoopbackHost

PORT = "TCP port"
SECONDS = "seconds"


def setting(default: Any, unit: str, reason: str, **constraints: Any) -> Any:
    """A field whose unit and reason `pmcp check-settings` prints."""
    return Field(default, description=reason, json_schema_extra={"unit": unit}, **constraints)


def _port(default: int, reason: str) -> Any:
    return setting(default, PORT, reason, ge=1, le=65535)


class LocalSettings(Settings):
    older_names: ClassVar[Mapping[str, str]] = {"SERVER_HOST": "gateway_host", "SERVER_PORT": "gateway_port"}

    data_dir: Path = setting(
        Path(".pmcp"), "path", "everything the stack keeps: database, queue, logs; one stack per directory"
    )
    tenant: str = setting("local", "name", "whose personas and memories these are", min_length=1)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = setting(
        "INFO", "level", "of the services' logs below <data>/logs; message text appears at DEBUG only"
    )

    gateway_host: LoopbackHost = setting("127.0.0.1", "address", "where clients connect; loopback only for now")
    gateway_port: int = _port(8000, "clients connect here; further gateways count up from it")
    persona_port: int = _port(8001, "persona service, internal")
    memory_port: int = _port(8002, "memory service, internal")
    worker_port: int = _port(8003, "health and metrics of the worker; further workers count up from it")
    postgres_port: int = _port(5442, "embedded PostgreSQL; not 5432, which a system's own may hold")
    valkey_port: int = _port(6390, "embedded Valkey; not 6379, which a system's own may hold")
    model_port: int = _port(8010, "embedded chat model, OpenAI-compatible")

    model_api: Literal["ollama", "openai", "embedded"] | None = setting(
        None, "name", "which kind of model server answers; unset: Ollama when it is there, else embedded"
    )
    model_url: str | None = setting(
        None, "URL", "the model server; set, it wins over Ollama and the embedded model", pattern=r"^https?://"
    )
    model_name: str | None = setting(None, "name", "which model answers; unset: the server's first chat model")
    model_api_key: SecretStr | None = setting(None, "secret", "sent to an OpenAI-compatible server")
    default_model: str | None = setting(
        None,
        "name",
        "preferred model, the name older installations use",
        validation_alias=AliasChoices("DEFAULT_MODEL", "default_model"),
    )
    ollama_host: str = setting(
        "http://127.0.0.1:11434",
        "URL or host:port",
        "where Ollama is looked for",
        validation_alias=AliasChoices("OLLAMA_HOST", "ollama_host"),
    )
    ollama_probe_seconds: float = setting(
        1.0, SECONDS, "how long the start waits to see whether Ollama answers", gt=0, le=30
    )
    model_slots: int = setting(4, "replies", "the embedded model writes so many at once", ge=1, le=64)
    model_slot_tokens: int = setting(
        4096, "tokens", "context of each slot of the embedded model; it was trained with 8192", ge=512, le=8192
    )
    model_threads: int | None = setting(
        None, "threads", "of the embedded model; unset: one less than there are cores", ge=1, le=256
    )
    worker_max_jobs: int | None = setting(
        None, "jobs", "at once in a worker; unset: the slots of the embedded model, else its own", ge=1
    )

    start_timeout_seconds: float = setting(
        60.0, SECONDS, "a part that is not ready by then stops the start", gt=0, le=600
    )
    stop_timeout_seconds: float = setting(8.0, SECONDS, "between asking a part to end and ending it", gt=0, le=60)
    max_restarts: int = setting(5, "restarts", "of one part within a minute, before the stack gives up", ge=0)
    log_max_bytes: int = setting(
        5_000_000, "bytes", "a log larger than this starts afresh; one older log is kept", ge=10_000
    )
    min_free_bytes: int = setting(
        200_000_000, "bytes", "free space below which a start is refused; a new database takes 40 MB", ge=0
    )


def read_settings(flags: Mapping[str, Any]) -> LocalSettings:
    """Flags win over the environment; `None` means not given. Raises pydantic's ValidationError with every
    mistake in it."""
    return LocalSettings(**{name: value for name, value in flags.items() if value is not None})


def inherited_environment() -> dict[str, str]:
    """What a child process gets besides our own values: PATH, HOME, and settings of a service that the
    stack does not know."""
    return dict(os.environ)  # noqa: TID251 - settings: the one place where the environment is copied


def environment_name(field: str) -> str:
    """`gateway_port` → `PMCP_GATEWAY_PORT`."""
    alias = LocalSettings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return f"PMCP_{field.upper()}"


def default_ports() -> Sequence[str]:
    """The settings that hold a port, in the order they are shown."""
    return tuple(
        name
        for name, field in LocalSettings.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("unit") == PORT
    )
