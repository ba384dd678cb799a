"""`python -m pmcp_gateway`: serve until SIGTERM."""

from __future__ import annotations

import argparse
import sys

from pmcp_common.configuration import read_or_exit
from pmcp_common.http_service import run
from pmcp_common.logs import configure_logging
from pmcp_gateway.app import build_app
from pmcp_gateway.origin import is_loopback
from pmcp_gateway.server import server_options
from pmcp_gateway.settings import GatewaySettings


def main() -> None:
    settings_help = "\n".join(
        f"  PMCP_{name.upper()} ({field.default}): {field.description}"
        for name, field in GatewaySettings.model_fields.items()
    )
    argparse.ArgumentParser(
        prog="python -m pmcp_gateway",
        description="Serves clients on ws://HOST:PORT/mcp, and relays the replies that workers make.",
        epilog=f"Configured by environment variables, .env and pmcp.toml (docs/configuration.md):\n{settings_help}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    settings = read_or_exit(GatewaySettings)
    if not is_loopback(settings.gateway_host):
        sys.stderr.write(
            f"PMCP_GATEWAY_HOST is {settings.gateway_host}: the gateway listens on loopback addresses only "
            "(127.0.0.1, ::1, localhost) until authentication exists.\n"
        )
        sys.exit(2)
    configure_logging("gateway", settings.log_level)
    run(build_app(settings), host=settings.gateway_host, port=settings.gateway_port, **server_options())


if __name__ == "__main__":
    main()
