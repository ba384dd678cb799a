"""A part's log file: opened for its process, kept small, and read back to say why the part died."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import orjson

from pmcp_local.part import Reason

_TAIL_BYTES = 16_384

_COMMON_REASONS = (
    Reason(re.compile(r"no space left on device|ENOSPC", re.IGNORECASE), "the disk is full"),
    Reason(re.compile(r"address already in use|EADDRINUSE", re.IGNORECASE), "its port is taken"),
    Reason(re.compile(r"cannot allocate memory|MemoryError|bad_alloc", re.IGNORECASE), "out of memory"),
    Reason(re.compile(r"permission denied", re.IGNORECASE), "a permission is missing"),
    Reason(re.compile(r"No module named '?(?P<module>[\w.]+)"), "the Python package {module} is not installed"),
    Reason(
        re.compile(r"version `?GLIBC_(?P<version>[\d.]+)'? not found"),
        "this system's C library is older than {version}",
    ),
)


def open_for_appending(path: Path, max_bytes: int) -> int:
    """A descriptor for a child's output. A log that has grown too large is put aside first."""
    if path.exists() and path.stat().st_size > max_bytes:
        path.replace(_older(path))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def keep_small(path: Path, max_bytes: int) -> bool:
    """Copy a log that grew too large aside and empty it under its writer (which appends). True when done."""
    try:
        size = path.stat().st_size
        if size <= max_bytes:
            return False
        with path.open("r+b") as log:
            log.seek(max(0, size - max_bytes))
            _older(path).write_bytes(log.read(max_bytes))
            log.truncate(0)
    except OSError:
        # A full disk must not keep a log from being emptied.
        _older(path).unlink(missing_ok=True)
        with path.open("r+b") as log:
            log.truncate(0)
    return True


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def tail(path: Path, since: int = 0) -> list[str]:
    """The last lines, none older than the offset `since` (the start of the run in question)."""
    try:
        with path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            begin = max(since if since <= size else 0, size - _TAIL_BYTES)
            log.seek(begin)
            text = log.read(_TAIL_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()]


def reason_in(lines: Sequence[str], reasons: Sequence[Reason] = ()) -> str | None:
    """A clause for the newest line we can explain; a part's own reasons go before the common ones."""
    for reason in (*reasons, *_COMMON_REASONS):
        for line in reversed(lines):
            found = reason.pattern.search(line)
            if found:
                return reason.clause.format(**found.groupdict())
    return None


def last_words(lines: Sequence[str], limit: int = 5) -> list[str]:
    """The last lines as a person reads them: of a JSON log the event, not the record."""
    return [_readable(line) for line in lines[-limit:]]


def _readable(line: str) -> str:
    if line.startswith("{"):
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            return line
        event = str(record.get("event", line))
        exception = str(record.get("exception", "")).strip().splitlines()
        return f"{event}: {exception[-1]}" if exception else event
    return line


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".1")
