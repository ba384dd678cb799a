"""A life of Redis' data that was put aside can be read to the last write, whatever has expired since."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
import redis

from bench.soak.fault_stack import TENANT
from bench.soak.harvest import Harvest, held_streams
from bench.soak.lives import FILES, is_written, opened, put_aside
from pmcp_common.contracts import keys
from pmcp_common.testing.history import Recorder, read_history
from pmcp_common.testing.history_entries import EventHeld, SectionHeld
from pmcp_local.part import StackError
from tests.conftest import Server


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where `own_valkey` has its files."""
    return tmp_path / "own-valkey"


def write(url: str, stream: str, epoch: str, text: str) -> None:
    event = {"kind": "delta", "seq": 1, "text": text}
    end = {"kind": "end", "seq": 2, "text": text, "state": "done", "sha256": "f00"}
    with redis.Redis.from_url(url) as client:
        client.hset(keys.job(TENANT, stream), mapping={"epoch": epoch})
        for number, one in enumerate((event, end), 1):
            client.xadd(keys.tokens(TENANT, stream), {"e": orjson.dumps(one)}, id=f"{number}-0")


def events(stream: str, epoch: str, text: str) -> list[EventHeld]:
    whole = EventHeld(TENANT, stream, epoch, 2, text, "done", "f00")
    return [EventHeld(TENANT, stream, epoch, 1, text), whole]


async def read(life: Path, *streams: str) -> list[EventHeld]:
    async with opened(life) as client:
        return [event async for events in held_streams(client, streams) for event in events]


async def test_a_wiped_server_begins_empty_and_the_life_before_can_still_be_read(
    own_valkey: tuple[Server, str], directory: Path
) -> None:
    server, url = own_valkey
    for number in (1, 2):
        assert is_written(directory)
        write(url, "s", f"e-{number}", f"text {number}")
        life = put_aside(directory)
        write(url, "late", f"e-{number}", "after it was put aside, before the end")
        server.stop()
        server.start()
        with redis.Redis.from_url(url) as client:
            assert client.dbsize() == 0
        assert await read(life, "s", "unknown", "late") == [
            *events("s", f"e-{number}", f"text {number}"),
            *events("late", f"e-{number}", "after it was put aside, before the end"),
        ]
    assert sorted(path.name for path in life.parent.iterdir()) == ["1", "2"]


async def test_what_expires_after_the_wipe_is_still_there_and_reading_changes_nothing(
    own_valkey: tuple[Server, str], directory: Path
) -> None:
    server, url = own_valkey
    write(url, "s", "e", "text")
    with redis.Redis.from_url(url) as client:
        client.config_set("import-mode", "yes")  # what has expired stays in the file, as if it had done so afterwards
        for key in (keys.job(TENANT, "s"), keys.tokens(TENANT, "s")):
            client.pexpire(key, 1)
    life = put_aside(directory)
    server.stop()
    before = {path.name: path.read_bytes() for path in (life / FILES).iterdir()}
    assert await read(life, "s") == events("s", "e", "text")
    assert await read(life, "s") == events("s", "e", "text")
    assert {path.name: path.read_bytes() for path in (life / FILES).iterdir()} == before


async def test_a_life_that_cannot_be_opened_fails_the_reading(own_valkey: tuple[Server, str], directory: Path) -> None:
    server, url = own_valkey
    write(url, "s", "e", "text")
    life = put_aside(directory)
    server.stop()
    for path in (life / FILES).glob("*.incr.aof"):
        path.write_bytes(b"*1\r\nnonsense" + path.read_bytes())
    with pytest.raises(StackError, match="cannot be opened"):
        await read(life, "s")


async def test_a_harvest_records_each_event_once_and_what_expires_between_as_well(
    own_valkey: tuple[Server, str], directory: Path, tmp_path: Path
) -> None:
    server, url = own_valkey
    path, lives = tmp_path / "history.jsonl", list[Path]()
    streams = ["early", "late", "living"]
    with Recorder(path) as recorder:
        harvest = Harvest(recorder, lives)
        write(url, "early", "e-1", "expires")
        await harvest.gather_ended(url, streams)
        with redis.Redis.from_url(url) as client:
            client.delete(keys.job(TENANT, "early"), keys.tokens(TENANT, "early"))
        write(url, "late", "e-1", "is wiped")
        lives.append(put_aside(directory))
        server.stop()
        await harvest.gather_ended(url, streams)
        server.start()
        write(url, "living", "e-2", "is there")
        await harvest.gather_ended(url, streams)
        await harvest.gather_all(url, streams)
    early, late = events("early", "e-1", "expires"), events("late", "e-1", "is wiped")
    living = events("living", "e-2", "is there")
    assert list(read_history(path)) == [*early, *living, *late, SectionHeld("events")]


async def test_what_came_after_an_end_that_was_harvested_is_recorded_too(
    own_valkey: tuple[Server, str], tmp_path: Path
) -> None:
    _, url = own_valkey
    path = tmp_path / "history.jsonl"
    with Recorder(path) as recorder:
        harvest = Harvest(recorder, [])
        write(url, "s", "e", "text")
        await harvest.gather_ended(url, ["s"])
        more = orjson.dumps({"kind": "delta", "seq": 3, "text": "more"})
        with redis.Redis.from_url(url) as client:
            client.xadd(keys.tokens(TENANT, "s"), {"e": more}, id="3-0")
        await harvest.gather_all(url, ["s"])
    after = EventHeld(TENANT, "s", "e", 3, "more")
    assert list(read_history(path)) == [*events("s", "e", "text"), after, SectionHeld("events")]
