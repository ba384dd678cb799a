"""The one-machine stack as a list of parts: which processes there are, and what each is told.

The composition root of `pmcp up` and `pmcp demo`; reads like a table of contents. Starting them is the
supervisor's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pmcp_local import model, services
from pmcp_local.model_choice import ModelChoice
from pmcp_local.part import Part
from pmcp_local.ports import count_up
from pmcp_local.postgres import HOST as POSTGRES_HOST
from pmcp_local.postgres import Cluster, find_binaries, postgres_part, server_account
from pmcp_local.services import LOOPBACK, service_part
from pmcp_local.settings import LocalSettings, default_ports, environment_name
from pmcp_local.valkey import HOST as VALKEY_HOST
from pmcp_local.valkey import valkey_part

DATABASE = "pmcp"


@dataclass(frozen=True, slots=True)
class Stack:
    parts: tuple[Part, ...]
    gateway_urls: tuple[str, ...]
    """Where clients connect: `ws://…/mcp`."""


def compose(
    settings: LocalSettings,
    directory: Path,
    choice: ModelChoice,
    inherited: Mapping[str, str],
    *,
    gateways: int = 1,
    workers: int = 1,
    overrides: Mapping[str, str] | None = None,
) -> Stack:
    """`directory` is the data directory, absolute and held by us; `inherited` our own environment.

    `overrides`: variables the services get instead of the stack's own (the address of a proxy before Redis, say).
    """
    below = embedded_servers(settings, directory, choice, inherited)
    tuning = model.TUNING if choice.embedded else {}
    environment = {**tuning, **inherited, **service_environment(settings, choice, directory), **(overrides or {})}
    needs = [part.name for part in below]
    rows = [
        service_part(
            kind,
            kind,
            (LOOPBACK, getattr(settings, f"{kind}_port")),
            environment,
            [name for name in needs if name != "model"],
            environment_name(f"{kind}_port"),
        )
        for kind in ("persona", "memory")
    ]
    needs = [*needs, "persona", "memory"]
    worker_parts = _replicas("worker", workers, LOOPBACK, settings, environment, needs)
    gateway_parts = _replicas("gateway", gateways, settings.gateway_host, settings, environment, needs)
    urls = tuple(f"{part.address.replace('http', 'ws', 1)}/mcp" for part in gateway_parts)
    return Stack((*below, *rows, *worker_parts, *gateway_parts), urls)


def embedded_servers(
    settings: LocalSettings, directory: Path, choice: ModelChoice, inherited: Mapping[str, str]
) -> list[Part]:
    """PostgreSQL, Valkey and, unless another model server was chosen, the small model."""
    cluster = Cluster(
        binaries=find_binaries(),
        directory=directory / "postgres",
        port=settings.postgres_port,
        log=directory / "logs" / "postgres.log",
        environment=inherited,
        account=server_account(),
    )
    parts = [
        postgres_part(cluster, DATABASE, settings.log_max_bytes, environment_name("postgres_port")),
        valkey_part(directory / "valkey", settings.valkey_port, inherited, environment_name("valkey_port")),
    ]
    if choice.embedded:
        command = model.server_command(
            settings.model_port, settings.model_slots, settings.model_slot_tokens, settings.model_threads
        )
        parts.append(model.model_part(settings.model_port, command, inherited, environment_name("model_port")))
    return parts


def _replicas(
    kind: str,
    count: int,
    host: str,
    settings: LocalSettings,
    environment: Mapping[str, str],
    after: list[str],
) -> list[Part]:
    first = getattr(settings, f"{kind}_port")
    reserved = {getattr(settings, name) for name in default_ports()}
    variable = environment_name(f"{kind}_port")
    parts = []
    for number, port in enumerate(count_up(first, count, reserved), start=1):
        name = kind if number == 1 else f"{kind}-{number}"
        own = {**environment, variable: str(port)}
        parts.append(service_part(kind, name, (host, port), own, after, variable))
    return parts


def service_environment(settings: LocalSettings, choice: ModelChoice, directory: Path) -> dict[str, str]:
    """What the services are told: where their neighbours are. Every service gets the whole of it."""
    values = {
        "PMCP_TENANT": settings.tenant,
        "PMCP_LOG_LEVEL": settings.log_level,
        "PMCP_DATA_DIR": str(directory),
        "PMCP_GATEWAY_HOST": settings.gateway_host,
        "PMCP_PERSONA_HOST": LOOPBACK,
        "PMCP_MEMORY_HOST": LOOPBACK,
        **{environment_name(name): str(getattr(settings, name)) for name in default_ports()},
        "PMCP_POSTGRES_DSN": f"postgresql://postgres@{POSTGRES_HOST}:{settings.postgres_port}/{DATABASE}",
        "PMCP_REDIS_URL": f"redis://{VALKEY_HOST}:{settings.valkey_port}/0",
        "PMCP_PERSONA_URL": f"http://{LOOPBACK}:{settings.persona_port}",
        "PMCP_MEMORY_URL": f"http://{LOOPBACK}:{settings.memory_port}",
        "PMCP_MODEL_API": choice.api,
        "PMCP_MODEL_URL": choice.url,
    }
    if choice.name is not None:
        values["PMCP_MODEL_NAME"] = choice.name
    if settings.model_api_key is not None:
        values["PMCP_MODEL_API_KEY"] = settings.model_api_key.get_secret_value()
    # A model server's waiting line is invisible to us; ours (the queue) is measured and fair.
    jobs = settings.worker_max_jobs or (settings.model_slots if choice.embedded else None)
    if jobs is not None:
        values["PMCP_WORKER_MAX_JOBS"] = str(jobs)
    return values


def service_packages() -> tuple[str, ...]:
    return tuple(services.PACKAGES.values())
