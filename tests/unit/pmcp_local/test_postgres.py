"""How PostgreSQL is started: loopback only, no socket file, durable unless told otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pmcp_local.part import StackError
from pmcp_local.postgres import Cluster, make_cluster, server_account


def _cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "bin", tmp_path / "data", 5442, tmp_path / "log", {}, None)


def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    command = _cluster(tmp_path).server_command()
    assert "listen_addresses=127.0.0.1" in command
    assert "unix_socket_directories=" in command


def test_only_throw_away_databases_are_not_forced_to_disk(tmp_path: Path) -> None:
    cluster = _cluster(tmp_path)
    assert "fsync=on" in cluster.server_command()
    assert "fsync=off" in replace(cluster, durable=False).server_command()


async def test_files_of_another_version_are_refused(tmp_path: Path) -> None:
    cluster = _cluster(tmp_path)
    cluster.directory.mkdir()
    (cluster.directory / "PG_VERSION").write_text("15\n")
    with pytest.raises(StackError, match="was made by PostgreSQL 15 and this is 18"):
        await make_cluster(cluster, 100_000)


def test_root_without_an_account_to_use_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("pwd.getpwnam", unknown)
    with pytest.raises(StackError, match="has no account 'nobody'"):
        server_account()


def test_an_ordinary_user_runs_it_as_oneself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert server_account() is None
