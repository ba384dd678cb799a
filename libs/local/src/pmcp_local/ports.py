"""TCP ports: is one free, which are free, and how several processes of one kind share a range."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection
from contextlib import ExitStack


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now. Ports of closed connections count as free."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def find_free(count: int, host: str = "127.0.0.1") -> list[int]:
    """Different ports that are free now; another process may take one before it is used."""
    with ExitStack() as held:
        found = []
        for _ in range(count):
            probe = held.enter_context(socket.socket(_family(host), socket.SOCK_STREAM))
            probe.bind((host, 0))
            found.append(int(probe.getsockname()[1]))
        return found


def count_up(first: int, count: int, reserved: Collection[int]) -> list[int]:
    """`first` and the next ports after it that nobody reserved: 8000, 8004 when 8001 to 8003 are reserved."""
    chosen = [first]
    candidate = first
    while len(chosen) < count:
        candidate += 1
        if candidate not in reserved:
            chosen.append(candidate)
    return chosen


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
