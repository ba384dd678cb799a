"""What workers publish about their model, and who may stay on the board."""

from __future__ import annotations

import logging

import orjson
import pytest

from pmcp_common.contracts.errors import Unavailable
from pmcp_llm_worker.model_watch import STALE_SECONDS, VERIFY_SECONDS, ModelWatch, seen_at_ms
from tests.unit.pmcp_llm_worker.doubles import ScriptedModel, SteppingClock


class Board:
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.failure: Exception | None = None

    async def put(self, tenant: str, worker_id: str, entry: bytes) -> None:
        if self.failure:
            raise self.failure
        self.kept[worker_id] = entry

    async def entries(self, tenant: str) -> dict[str, bytes]:
        return dict(self.kept)

    async def drop(self, tenant: str, worker_ids: list[str]) -> None:
        for worker_id in worker_ids:
            self.kept.pop(worker_id, None)


class Scene:
    def __init__(self) -> None:
        self.model, self.board, self.clock = ScriptedModel(), Board(), SteppingClock()
        self.model.ok = True
        self.watch = ModelWatch(self.model, self.board, self.clock, "local", "w1")

    def entry(self) -> dict[str, object]:
        entry = orjson.loads(self.board.kept["w1"])
        assert isinstance(entry, dict)
        return entry


async def test_an_entry_says_what_is_there_and_what_answered() -> None:
    scene = Scene()
    scene.watch.note_answer("m1-real")
    await scene.watch.look()
    entry = scene.entry()
    assert (entry["provider"], entry["current_model"], entry["ok"]) == ("scripted", "m1", True)
    assert (entry["available_models"], entry["last_answered_model"]) == (["m1"], "m1-real")
    assert entry["seen_at_ms"] == scene.clock.now().timestamp() * 1000


async def test_a_missing_model_is_one_error_and_then_looked_for_each_time(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.model.ok = False
    for _ in range(3):
        await scene.watch.look()
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1
    assert scene.entry()["ok"] is False
    scene.model.ok = True
    await scene.watch.look()
    assert scene.entry()["ok"] is True


async def test_a_model_that_is_there_is_verified_rarely() -> None:
    scene = Scene()
    await scene.watch.look()
    scene.model.ok = False
    await scene.watch.look()
    assert scene.entry()["ok"] is True
    scene.clock.seconds += VERIFY_SECONDS
    await scene.watch.look()
    assert scene.entry()["ok"] is False


async def test_a_canned_line_has_a_model_that_was_there_looked_at_again() -> None:
    scene = Scene()
    await scene.watch.look()
    scene.model.ok = False
    scene.watch.note_answer(None)
    await scene.watch.look()
    assert scene.entry()["ok"] is False
    scene.model.ok = True
    scene.watch.note_answer("m1-real")
    await scene.watch.look()
    assert (scene.entry()["ok"], scene.entry()["last_answered_model"]) == (True, "m1-real")


async def test_what_was_to_be_expected_is_not_looked_at() -> None:
    scene = Scene()
    await scene.watch.look()
    scene.model.ok = False
    scene.watch.note_answer("m1-real")
    await scene.watch.look()
    assert scene.entry()["ok"] is True


async def test_the_dead_are_dropped_and_so_is_nonsense() -> None:
    scene = Scene()
    await scene.watch.look()
    scene.board.kept["nonsense"] = b"?"
    scene.board.kept["dead"] = scene.board.kept["w1"]
    scene.clock.seconds += STALE_SECONDS + 1
    await scene.watch.look()
    assert list(scene.board.kept) == ["w1"]
    await scene.watch.leave()
    assert scene.board.kept == {}


async def test_a_broker_that_is_away_does_not_end_the_watch() -> None:
    scene = Scene()
    scene.board.failure = Unavailable("away")
    await scene.watch.look()
    assert scene.watch.report is not None


def test_an_entry_without_a_stamp_is_as_old_as_can_be() -> None:
    assert seen_at_ms(b"{}") == seen_at_ms(b"[") == 0.0
