"""What a part of the stack is: a process to start, how to see that it is ready, how it ends.

Data and two small failures; starting and watching is the supervisor's. A part knows nothing of its
neighbours but their names.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pmcp_local.unprivileged import Account


class StackError(Exception):
    """The stack cannot start or go on. The text is one sentence for the person at the terminal."""


class NotReady(Exception):
    """A readiness check failed for now; the text says why, shortly."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Turns a line of a part's log into a clause a newcomer understands."""

    pattern: re.Pattern[str]
    clause: str


async def _nothing_to_prepare() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    command: Sequence[str]
    address: str
    """Shown to the user, `host:port` or a URL."""
    check_ready: Callable[[], Awaitable[None]]
    """Returns when the part serves; raises NotReady or an OSError until then. Bounded by its caller."""
    after: Sequence[str] = ()
    """Names of parts that must be ready before this one starts."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The whole environment of the process."""
    port: tuple[str, int] | None = None
    """Host and port that must be free before the start."""
    port_setting: str = ""
    prepare: Callable[[], Awaitable[None]] = _nothing_to_prepare
    """Runs before each start of the process (initdb); idempotent."""
    account: Account | None = None
    """Who the process runs as; None: who we are."""
    stop_signal: int = signal.SIGTERM
    death_signal: int = signal.SIGKILL
    """What the kernel sends to the process when we die without a word."""
    hasten_signal: int = signal.SIGKILL
    reasons: Sequence[Reason] = ()
