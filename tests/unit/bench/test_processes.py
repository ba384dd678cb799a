"""Usage of a process tree is read from /proc, whatever the process calls itself."""

import os
from pathlib import Path

import pytest

from bench.processes import (
    PAGE_BYTES,
    TICKS_PER_SECOND,
    Crashed,
    Family,
    StatLine,
    descendants,
    parse_stat,
    read_all,
    usage_by_name,
    usage_of,
)
from bench.systems import parse_pids, roles_of

STAT = (
    "{pid} ({name}) S {parent} 1 1 0 -1 4194304 100 0 0 0 {user} {system} 5 7 20 0 3 0 12345 "
    "1000000 {pages} 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n"
)


@pytest.mark.parametrize("name", ["python", "a (b) c", "postgres: writer )"])
def test_a_stat_line_gives_parent_cpu_and_memory(name: str) -> None:
    line = parse_stat(STAT.format(pid=42, name=name, parent=7, user=100, system=30, pages=256))
    assert (line.pid, line.parent) == (42, 7)
    assert line.cpu_seconds == pytest.approx((100 + 30 + 5 + 7) / TICKS_PER_SECOND)
    assert line.rss_mb == pytest.approx(256 * PAGE_BYTES / 1e6)


def test_a_tree_is_a_process_with_all_below_it() -> None:
    table = {
        line.pid: line
        for line in (
            StatLine(1, 0, 1.0, 10.0),
            StatLine(2, 1, 2.0, 20.0),
            StatLine(3, 2, 4.0, 40.0),
            StatLine(9, 0, 8.0, 80.0),
        )
    }
    assert sorted(line.pid for line in descendants(1, table)) == [1, 2, 3]
    assert usage_of([1, 2], table).cpu_seconds == 7.0
    assert usage_of([404], table).rss_mb == 0.0


def test_entries_that_are_no_process_or_ended_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("x")
    (tmp_path / "5").mkdir()
    (tmp_path / "6").mkdir()
    (tmp_path / "6" / "stat").write_text(STAT.format(pid=6, name="ok", parent=1, user=1, system=1, pages=1))
    assert list(read_all(tmp_path)) == [6]


def test_this_process_has_used_cpu_and_memory() -> None:
    usage = usage_by_name({"me": [os.getpid()]})["me"]
    assert usage.cpu_seconds > 0
    assert usage.rss_mb > 1


async def test_a_child_that_ends_before_it_is_ready_is_reported_with_its_log(tmp_path: Path) -> None:
    async with Family(tmp_path) as family:
        child = await family.start("short", "true")
        with pytest.raises(Crashed, match=r"short ended with 0; see .*short\.log"):
            await family.wait_for_port(child, 1, timeout_seconds=5.0)


async def test_leaving_the_family_ends_its_children(tmp_path: Path) -> None:
    async with Family(tmp_path) as family:
        child = await family.start("long", "sleep", "60")
        assert child.process.returncode is None
    assert child.process.returncode is not None


def test_replicas_are_one_role_and_pids_are_read_from_the_command_line() -> None:
    assert roles_of({"gateway": 1, "gateway-2": 2, "worker": 3}) == {"gateway": [1, 2], "worker": [3]}
    assert parse_pids("worker=1,gateway=2,worker=3") == {"worker": [1, 3], "gateway": [2]}
    assert parse_pids("") == {}
    with pytest.raises(ValueError, match="role=pid"):
        parse_pids("worker")
