"""The recorder: what is written is read back, wire frames become entries, and bounds and damage are errors."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pmcp_common.contracts.frames import chunk_result, end_result, start_result
from pmcp_common.contracts.jobs import Accepted, Delta, End
from pmcp_common.testing.history import HistoryDamaged, HistoryFull, Recorder, read_history
from pmcp_common.testing.history_checker import Rule, examine
from pmcp_common.testing.history_entries import (
    TYPES,
    EndSeen,
    Entry,
    FaultDone,
    FrameSeen,
    MarkerPlanted,
    ModelCall,
    RequestAccepted,
    RequestRefused,
    RequestSent,
    SectionHeld,
)
from tests.unit.pmcp_common.history_samples import sample, sha256

STAMP = "2026-01-01T00:00:00+00:00"
TEXT = "[[m]] hi"
END = End("s", 3, 1, "done", "stop", TEXT, sha256(TEXT), "reply", "user", "aria", "Aria", persisted=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


@pytest.fixture
def recorder(path: Path) -> Iterator[Recorder]:
    times = iter(range(1000))
    with Recorder(path, monotonic=lambda: float(next(times))) as open_recorder:
        yield open_recorder


def written(recorder: Recorder, path: Path) -> list[Entry]:
    recorder.flush()
    return list(read_history(path))


def under(request: str, result: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request, "result": result}


def test_what_is_recorded_is_read_back_equal(path: Path) -> None:
    history = sample(5)
    with Recorder(path) as recorder:
        for entry in history:
            recorder.record(entry)
    assert list(read_history(path)) == history
    assert {entry.kind for entry in history} <= set(TYPES)


def test_several_files_are_read_one_after_the_other_and_a_file_is_only_appended_to(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path in (paths[0], paths[1], paths[0]):
        with Recorder(path) as recorder:
            recorder.planted("t", path.stem, "[[x]]")
    assert [entry.player for entry in read_history(*paths) if isinstance(entry, MarkerPlanted)] == ["a", "a", "b"]


def test_the_frames_of_the_protocol_become_entries(recorder: Recorder, path: Path) -> None:
    client = recorder.client("c", tenant="local", player="p")
    client.sent("1", "[[m]]", conversation="aria", idempotency_key="k")
    accepted = Accepted("s", "reply", "e", "aria", "Aria")
    joined = chunk_result(Delta("s", 2, 1, TEXT), "e", STAMP, 1, len(TEXT)) | {"first_seq": 1}
    start = under("1", start_result(accepted, "Hi [[m]]", 100, STAMP, "durable"))
    for frame in (start, under("1", joined), start, under("1", end_result(END, "e", STAMP))):
        client.wire(frame)
    assert written(recorder, path) == [
        RequestSent(0.0, "c", "1", "local", "p", "[[m]]", "aria", "local", "k"),
        RequestAccepted(1.0, "c", "1", "s", "reply", "e"),
        FrameSeen(2.0, "c", "s", "e", 1, 2, TEXT),
        EndSeen(3.0, "c", "s", "e", 3, "done", "stop", sha256(TEXT), len(TEXT), TEXT, "reply", True),
    ]
    assert examine(read_history(path)).violations == ()


def test_frames_after_a_resume_come_as_notifications_and_count_the_same(recorder: Recorder, path: Path) -> None:
    client = recorder.client("c", tenant="local", player="p")
    client.sent("1", "[[m]]")
    client.accepted("1", "s", "reply", "e")
    client.closed(1012)
    client.resumed("s", "e", 0, recovered=True)
    for result in (
        chunk_result(Delta("s", 1, 1, "[[m]]"), "e", STAMP, 1, 5),
        chunk_result(Delta("s", 2, 2, " hi"), "e", STAMP, 2, 8),
        end_result(replace(END, state="failed", error_code=-32003), "e", STAMP),
    ):
        client.wire({"jsonrpc": "2.0", "method": "stream.event", "params": result})
    entries = written(recorder, path)
    assert [entry.kind for entry in entries] == ["sent", "accepted", "closed", "resumed", "frame", "frame", "end"]
    assert isinstance(entries[-1], EndSeen)
    assert (entries[-1].state, entries[-1].text) == ("failed", TEXT)
    assert examine(entries).violations == ()


def test_a_bare_error_counts_for_a_stream_in_flight_only(recorder: Recorder, path: Path) -> None:
    client = recorder.client("c", tenant="local", player="p")
    error = {"jsonrpc": "2.0", "id": "1", "error": {"code": -32603, "message": "x"}}
    client.wire(error)
    client.accepted("1", "s", "reply")
    client.wire({"jsonrpc": "2.0", "id": "2", "result": {"status": "ok"}})
    client.wire(error)
    client.wire(error)
    entries = written(recorder, path)
    assert [type(entry) for entry in entries] == [RequestAccepted, RequestRefused]


def test_an_error_frame_before_the_acceptance_is_a_refusal_and_one_after_it_an_end(
    recorder: Recorder, path: Path
) -> None:
    client = recorder.client("c", tenant="local", player="p")
    client.sent("1", "[[m]]")
    failure = under("1", {"event_type": "stream_error", "stream_id": "nothing"}) | {"error": {"code": -32007}}
    client.wire(failure)
    assert examine(written(recorder, path)).violations == ()
    client.sent("2", "[[n]]")
    client.accepted("2", "s", "reply", "e")
    client.wire(
        under("2", {"event_type": "stream_error", "stream_id": "s", "epoch": "e"}) | {"error": {"code": -32007}}
    )
    found = examine(written(recorder, path)).violations
    assert [(one.rule, one.stream) for one in found] == [(Rule.ONE_TERMINAL, "s")]
    assert "without a position" in found[0].evidence


def test_a_reply_without_streaming_is_acceptance_and_end(recorder: Recorder, path: Path) -> None:
    client = recorder.client("c", tenant="local", player="p")
    client.sent("1", "[[m]]", streaming=False)
    client.replied("1", {"stream_id": "s", "message_id": "reply", "epoch": "e", "sha256": sha256(TEXT)}, TEXT)
    assert [entry.kind for entry in written(recorder, path)] == ["sent", "accepted", "end"]
    assert examine(read_history(path)).violations == ()


def test_sections_are_closed_by_a_mark_even_when_empty(recorder: Recorder, path: Path) -> None:
    call = ModelCall("m", 1.0, None, ("a", "b"))
    recorder.rows([])
    recorder.events([])
    recorder.calls([call])
    recorder.fault("redis", "kill", 1.0, 2.0)
    assert written(recorder, path) == [
        SectionHeld("rows"),
        SectionHeld("events"),
        call,
        SectionHeld("calls"),
        FaultDone(1.0, 2.0, "redis", "kill"),
    ]


def test_a_history_over_its_bound_is_an_error(path: Path) -> None:
    with Recorder(path, max_bytes=200) as recorder:
        recorder.planted("t", "p", "[[x]]")
        with pytest.raises(HistoryFull, match="200 bytes"):
            recorder.planted("t", "p", "[[" + "x" * 200 + "]]")


@pytest.mark.parametrize(
    "line",
    [
        b"{}\n",
        b"not json\n",
        b"[]\n",
        b'{"kind":"nobody knows"}\n',
        b'{"kind":"left","at":1.0}\n',
        b'{"kind":"left","at":1.0,"client":"c"}',
    ],
)
def test_a_damaged_line_is_an_error_that_names_its_place(path: Path, line: bytes) -> None:
    path.write_bytes(b'{"kind":"left","at":1.0,"client":"c"}\n' + line)
    with pytest.raises(HistoryDamaged, match=r"history\.jsonl:2"):
        list(read_history(path))


def test_entries_of_many_clients_keep_each_ones_order(recorder: Recorder, path: Path) -> None:
    clients = [recorder.client(f"c{n}", tenant="t", player=f"p{n}") for n in range(50)]
    chance = random.Random(1)
    for number in range(500):
        chance.choice(clients).closed(number)
    by_client: dict[str, list[float]] = {}
    for entry in written(recorder, path):
        by_client.setdefault(getattr(entry, "client", ""), []).append(getattr(entry, "at", 0.0))
    assert all(times == sorted(times) for times in by_client.values())
    assert sum(len(times) for times in by_client.values()) == 500
