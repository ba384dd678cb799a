"""The stack's data directory: made, writable, with room, and held by one stack at a time.

Every refusal is one sentence (StackError). The lock is the kernel's: it ends with our process, whatever
ended that.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pmcp_local.part import StackError


@contextmanager
def hold(directory: Path, min_free_bytes: int) -> Iterator[Path]:
    """The directory as an absolute path, locked until the end of the block."""
    path = _make(directory)
    lock = _lock(path)
    try:
        _require_room(path, min_free_bytes)
        yield path
    finally:
        os.close(lock)


def _make(directory: Path) -> Path:
    path = directory.expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / "logs").mkdir(exist_ok=True)
    except OSError as error:
        raise StackError(
            f"The data directory {path} cannot be made ({_plain(error)}); choose another with PMCP_DATA_DIR."
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise StackError(f"The data directory {path} is not writable; choose another with PMCP_DATA_DIR or --data-dir.")
    return path


def _lock(path: Path) -> int:
    try:
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StackError(
            f"The data directory {path} is not writable ({_plain(error)}); choose another with PMCP_DATA_DIR."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise StackError(
            f"Another stack (process {holder}) uses {path}; stop it, or choose another directory with"
            " PMCP_DATA_DIR and other ports."
        ) from None
    try:
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
    except OSError as error:
        os.close(lock)
        raise StackError(f"Nothing can be written to {path} ({_plain(error)}).") from error
    return lock


def _require_room(path: Path, min_free_bytes: int) -> None:
    free = shutil.disk_usage(path).free
    if free < min_free_bytes:
        raise StackError(
            f"The disk is too full: {path} has {free // 1_000_000} MB left and a stack wants"
            f" {min_free_bytes // 1_000_000} MB; make room or choose another place with PMCP_DATA_DIR."
        )


def _plain(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
