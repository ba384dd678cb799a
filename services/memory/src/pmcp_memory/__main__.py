"""`python -m pmcp_memory`: serve until SIGTERM."""

from __future__ import annotations

from pmcp_common.configuration import from_command_line
from pmcp_common.http_service import run
from pmcp_common.logs import configure_logging
from pmcp_memory.app import build_app
from pmcp_memory.settings import MemorySettings


def main() -> None:
    settings = from_command_line(
        MemorySettings,
        prog="python -m pmcp_memory",
        description="Serves turns and memories to the other services, from PostgreSQL with pgvector.",
    )
    configure_logging("memory", settings.log_level)
    run(build_app(settings), host=settings.memory_host, port=settings.memory_port)


if __name__ == "__main__":
    main()
