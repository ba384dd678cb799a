"""`python -m pmcp_gateway`: serve until SIGTERM."""

from __future__ import annotations

from pmcp_common.configuration import from_command_line
from pmcp_common.http_service import run
from pmcp_common.logs import configure_logging
from pmcp_gateway.app import build_app
from pmcp_gateway.server import server_options
from pmcp_gateway.settings import GatewaySettings


def main() -> None:
    settings = from_command_line(
        GatewaySettings,
        prog="python -m pmcp_gateway",
        description="Serves clients on ws://HOST:PORT/mcp, and relays the replies that workers make.",
    )
    configure_logging("gateway", settings.log_level)
    options = server_options(settings.gateway_heartbeat_seconds)
    run(build_app(settings), host=settings.gateway_host, port=settings.gateway_port, **options)


if __name__ == "__main__":
    main()
