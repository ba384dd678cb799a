"""Our own services as parts: each `python -m pmcp_<name>` in a process of its own, ready by its `/readyz`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence

from pmcp_local.part import Part, StackError
from pmcp_local.probes import check_http

LOOPBACK = "127.0.0.1"
PACKAGES = {
    "persona": "pmcp_persona",
    "memory": "pmcp_memory",
    "worker": "pmcp_llm_worker",
    "gateway": "pmcp_gateway",
}


def service_part(
    kind: str,
    name: str,
    endpoint: tuple[str, int],
    environment: Mapping[str, str],
    after: Sequence[str],
    port_setting: str,
) -> Part:
    """`kind` is a key of PACKAGES; `name` tells several of a kind apart ("gateway-2")."""
    package = PACKAGES[kind]
    if importlib.util.find_spec(package) is None:
        raise StackError(f"The package {package} is not installed; run `pip install -e .` in the checkout.")
    host, port = endpoint
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def check_ready() -> None:
        await check_http(f"{url}/readyz")

    return Part(
        name=name,
        command=[sys.executable, "-m", package],
        address=url,
        check_ready=check_ready,
        after=after,
        environment=environment,
        port=endpoint,
        port_setting=port_setting,
    )
