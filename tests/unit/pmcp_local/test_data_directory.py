"""A data directory is made, has room, and belongs to one stack."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from pmcp_local.data_directory import hold
from pmcp_local.part import StackError


def test_it_is_made_with_its_logs(tmp_path: Path) -> None:
    with hold(tmp_path / "deep" / "down", 0) as directory:
        assert directory.is_absolute()
        assert (directory / "logs").is_dir()


def test_a_second_stack_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    refusal = pytest.raises(StackError, match=rf"Another stack \(process {os.getpid()}\) uses")
    with hold(tmp_path, 0), refusal, hold(tmp_path, 0):
        pass


def test_it_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with hold(tmp_path, 0):
            pass


def test_the_lock_does_not_pass_to_children(tmp_path: Path) -> None:
    with hold(tmp_path, 0):
        flags = [
            fcntl.fcntl(int(name), fcntl.F_GETFD)
            for name in os.listdir("/proc/self/fd")
            if _leads_to(name, tmp_path / "lock")
        ]
    assert flags
    assert all(flag & fcntl.FD_CLOEXEC for flag in flags)


def _leads_to(descriptor: str, path: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}") == str(path)
    except OSError:
        return False


def test_too_little_room_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="The disk is too full"), hold(tmp_path, 10**18):
        pass


def test_a_place_where_nothing_can_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match=r"cannot be made \(not a directory\)"), hold(tmp_path / "file" / "data", 0):
        pass
