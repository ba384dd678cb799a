"""Which addresses reach this machine only: what the gateway and the stack that starts it must agree on. Pure."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator


def is_loopback(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _loopback(host: str) -> str:
    if not is_loopback(host):
        raise ValueError("only loopback addresses (127.0.0.1, ::1, localhost) until authentication exists")
    return host


LoopbackHost = Annotated[str, AfterValidator(_loopback)]
"""Where a server without authentication may listen."""
