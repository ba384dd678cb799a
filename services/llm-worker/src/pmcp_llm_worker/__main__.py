"""`python -m pmcp_llm_worker`: answer messages until SIGTERM."""

from __future__ import annotations

from pmcp_common.configuration import from_command_line
from pmcp_common.http_service import run
from pmcp_common.logs import configure_logging
from pmcp_llm_worker.settings import WorkerSettings
from pmcp_llm_worker.worker import build_app


def main() -> None:
    settings = from_command_line(
        WorkerSettings,
        prog="python -m pmcp_llm_worker",
        description="Takes messages from the queue, asks the model and streams its replies.",
    )
    configure_logging("llm-worker", settings.log_level)
    # Probes and scrapes get a second of the time to leave; the running replies get the rest.
    run(build_app(settings), host=settings.worker_host, port=settings.worker_port, graceful_timeout_seconds=1)


if __name__ == "__main__":
    main()
