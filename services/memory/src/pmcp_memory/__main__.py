"""`python -m pmcp_memory`: serve until SIGTERM."""

from __future__ import annotations

import argparse

from pydantic import SecretStr

from pmcp_common.configuration import read_or_exit
from pmcp_common.http_service import run
from pmcp_common.logs import configure_logging
from pmcp_memory.app import build_app
from pmcp_memory.settings import MemorySettings


def _shown(default: object) -> object:
    """Defaults are no secrets: only what the environment gives may be one."""
    return default.get_secret_value() if isinstance(default, SecretStr) else default


def main() -> None:
    settings_help = "\n".join(
        f"  PMCP_{name.upper()} ({_shown(field.default)}): {field.description}"
        for name, field in MemorySettings.model_fields.items()
    )
    argparse.ArgumentParser(
        prog="python -m pmcp_memory",
        description="Serves turns and memories to the other services, from PostgreSQL with pgvector.",
        epilog=f"Configured by environment variables, .env and pmcp.toml (docs/configuration.md):\n{settings_help}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    settings = read_or_exit(MemorySettings)
    configure_logging("memory", settings.log_level)
    run(build_app(settings), host=settings.memory_host, port=settings.memory_port)


if __name__ == "__main__":
    main()
