"""Running a child as an unprivileged account when we are root: PostgreSQL refuses to be root.

Linux only needs it in containers and on bare servers. The child keeps one capability, to pass through
directories that only root may enter (a clone below /root), so that no permission outside the data directory
is changed; without that capability it goes on with ordinary rights.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# <linux/prctl.h>, <linux/capability.h>
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522

# Loaded before any fork: between fork and exec a child may not load libraries.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    uid: int
    gid: int


def account_for_servers() -> Account | None:
    """`nobody` when we are root, else None. LookupError when root has no such account to use."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise LookupError("nobody") from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def give_to(account: Account | None, directory: Path) -> None:
    """Make the account the owner of a directory and of what is in it."""
    if account is None:
        return
    os.chown(directory, account.uid, account.gid)
    for folder, folders, files in os.walk(directory):
        for name in (*folders, *files):
            os.chown(Path(folder) / name, account.uid, account.gid, follow_symlinks=False)


def child_setup(account: Account | None, death_signal: int) -> Callable[[], None]:
    """What a child does between fork and exec: change account, then ask to be told of our death.

    The order matters: changing the account clears the death signal.
    """
    parent = os.getpid()

    def set_up() -> None:
        if account is not None:
            _become(account)
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
            if os.getppid() != parent:  # we died between fork and here: no signal will come
                os.kill(os.getpid(), signal.SIGKILL)

    return set_up


def _become(account: Account) -> None:
    os.setgroups([])
    os.setgid(account.gid)
    if _LIBC is None:
        os.setuid(account.uid)
        return
    _LIBC.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setuid(account.uid)
    mask = 1 << _CAP_DAC_OVERRIDE
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    # effective, permitted, inheritable, then the same for the upper 32 capabilities. Permitted must equal
    # ambient exactly, or exec counts as a gain of rights and clears the death signal.
    if _LIBC.capset(header, struct.pack("6I", mask, mask, mask, 0, 0, 0)) == 0:
        _LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)
    else:
        _LIBC.capset(header, struct.pack("6I", 0, 0, 0, 0, 0, 0))
