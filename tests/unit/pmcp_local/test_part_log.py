"""Logs stay small, and say why a part died."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pmcp_local.part import Reason
from pmcp_local.part_log import keep_small, last_words, open_for_appending, reason_in, size_of, tail


def test_a_log_that_grew_too_large_is_put_aside_at_the_start(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    log.write_text("old" * 100)
    descriptor = open_for_appending(log, max_bytes=100)
    os.write(descriptor, b"new")
    os.close(descriptor)
    assert log.read_text() == "new"
    assert (tmp_path / "part.log.1").read_text() == "old" * 100


def test_a_log_is_emptied_under_its_writer(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    descriptor = open_for_appending(log, max_bytes=10)
    os.write(descriptor, b"0123456789abcdef")
    assert keep_small(log, max_bytes=10)
    os.write(descriptor, b"and on")
    os.close(descriptor)
    assert log.read_text() == "and on"
    assert (tmp_path / "part.log.1").read_text() == "6789abcdef"
    assert not keep_small(log, max_bytes=10)


def test_the_tail_begins_with_the_run_in_question(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    log.write_text("of the run before\n")
    since = size_of(log)
    with log.open("a") as writer:
        writer.write("of this run\n\n")
    assert tail(log, since) == ["of this run"]
    assert tail(tmp_path / "none.log") == []


@pytest.mark.parametrize(
    ("line", "clause"),
    [
        ("FATAL: could not write lock file: No space left on device", "the disk is full"),
        ("[Errno 98] Address already in use", "its port is taken"),
        ("initdb: error: could not access directory: Permission denied", "a permission is missing"),
        ("ModuleNotFoundError: No module named 'uvloop'", "the Python package uvloop is not installed"),
        ("libc.so.6: version `GLIBC_2.34' not found", "this system's C library is older than 2.34"),
        ("something nobody has seen before", None),
    ],
)
def test_known_reasons_are_recognised(line: str, clause: str | None) -> None:
    assert reason_in(["starting", line, "stopped"]) == clause


def test_a_part_s_own_reasons_go_first() -> None:
    own = Reason(re.compile("space"), "of its own")
    assert reason_in(["No space left on device"], [own]) == "of its own"


def test_the_last_words_of_a_json_log_are_its_events() -> None:
    line = '{"level":"ERROR","event":"cannot start","exception":"Traceback\\n  File x\\nOSError: no"}'
    assert last_words(["plain", line, "{broken"]) == ["plain", "cannot start: OSError: no", "{broken"]
