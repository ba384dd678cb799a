"""`python -m pmcp_persona`: serve until SIGTERM."""

from __future__ import annotations

from pmcp_common.configuration import from_command_line
from pmcp_common.http_service import run
from pmcp_common.logs import configure_logging
from pmcp_persona.app import build_app
from pmcp_persona.settings import PersonaSettings


def main() -> None:
    settings = from_command_line(
        PersonaSettings,
        prog="python -m pmcp_persona",
        description="Serves personas and their interaction state to the other services, from PostgreSQL.",
    )
    configure_logging("persona", settings.log_level)
    run(build_app(settings), host=settings.persona_host, port=settings.persona_port)


if __name__ == "__main__":
    main()
