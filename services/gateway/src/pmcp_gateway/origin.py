"""Which web pages may open a socket: those of this machine. Pure.

Programs send no Origin. A name that merely resolves to this machine is foreign all the same: an attacker's page may
point its own name here, so the Host header proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from pmcp_common.contracts.loopback import is_loopback


def is_allowed(origins: Iterable[str]) -> bool:
    """`origins`: every Origin header of the request; none is fine, two are not."""
    values = list(origins)
    if not values:
        return True
    if len(values) > 1:
        return False
    try:
        parts = urlsplit(values[0])
        return parts.scheme in ("http", "https") and parts.hostname is not None and is_loopback(parts.hostname)
    except ValueError:
        return False


def origins_of(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name.lower() == b"origin"]
