"""TCP ports: is one free, which are free, and how several processes of one kind share a range."""

from __future__ import annotations

import errno
import itertools
import random
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


def find_ranges(count: int, size: int, among: range, host: str = "127.0.0.1") -> list[int]:
    """First ports of `count` ranges of `size` ports that are free now: parts with replicas count up from theirs.

    `among`: none that the system gives to outgoing connections (32768 and above), one of which may take a port of a
    range at any time. Drawn by chance, so that two who look at once find different ones. Raises OSError when there are
    not so many.
    """
    starts = among[::size]
    drawn = random.SystemRandom().sample(starts, len(starts))
    free = (start for start in drawn if all(is_free(host, start + more) for more in range(size)))
    found = list(itertools.islice(free, count))
    if len(found) < count:
        raise OSError(errno.EADDRINUSE, f"fewer than {count} ranges of {size} ports are free")
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
