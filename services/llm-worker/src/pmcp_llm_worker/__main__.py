"""`python -m pmcp_llm_worker`: answer messages until SIGTERM."""

from __future__ import annotations

import argparse

from pmcp_common.configuration import read_or_exit
from pmcp_common.http_service import run
from pmcp_common.logs import configure_logging
from pmcp_llm_worker.settings import WorkerSettings
from pmcp_llm_worker.worker import build_app


def main() -> None:
    settings_help = "\n".join(
        f"  PMCP_{name.upper()} ({field.default}): {field.description}"
        for name, field in WorkerSettings.model_fields.items()
    )
    argparse.ArgumentParser(
        prog="python -m pmcp_llm_worker",
        description="Takes messages from the queue, asks the model and streams its replies.",
        epilog=f"Configured by environment variables, .env and pmcp.toml (docs/configuration.md):\n{settings_help}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    settings = read_or_exit(WorkerSettings)
    configure_logging("llm-worker", settings.log_level)
    # Probes and scrapes get a second of the time to leave; the running replies get the rest.
    run(build_app(settings), host=settings.worker_host, port=settings.worker_port, graceful_timeout_seconds=1)


if __name__ == "__main__":
    main()
