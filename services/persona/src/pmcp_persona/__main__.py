"""`python -m pmcp_persona`: serve until SIGTERM."""

from __future__ import annotations

import argparse

from pydantic import SecretStr

from pmcp_common.configuration import read_or_exit
from pmcp_common.http_service import run
from pmcp_common.logs import configure_logging
from pmcp_persona.app import build_app
from pmcp_persona.settings import PersonaSettings


def _shown(default: object) -> object:
    """Defaults are no secrets: only what the environment gives may be one."""
    return default.get_secret_value() if isinstance(default, SecretStr) else default


def main() -> None:
    settings_help = "\n".join(
        f"  PMCP_{name.upper()} ({_shown(field.default)}): {field.description}"
        for name, field in PersonaSettings.model_fields.items()
    )
    argparse.ArgumentParser(
        prog="python -m pmcp_persona",
        description="Serves personas and their interaction state to the other services, from PostgreSQL.",
        epilog=f"Configured by environment variables, .env and pmcp.toml (docs/configuration.md):\n{settings_help}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    settings = read_or_exit(PersonaSettings)
    configure_logging("persona", settings.log_level)
    run(build_app(settings), host=settings.persona_host, port=settings.persona_port)


if __name__ == "__main__":
    main()
