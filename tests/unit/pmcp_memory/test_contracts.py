"""The bounds of what crosses into memory."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from pmcp_common.contracts.memories import (
    MAX_CONTENT_BYTES,
    CommitTurns,
    ContextRequest,
    MemoryStats,
    RememberRequest,
    Turn,
)

TURN: dict[str, Any] = {
    "message_id": "m1",
    "conversation_id": "c1",
    "persona_id": "aria",
    "player_id": "p1",
    "role": "user",
    "content": "Hello\nthere",
    "created_at": "2026-03-01T12:00:00Z",
}


@pytest.mark.parametrize(
    "change",
    [
        {"message_id": ""},
        {"message_id": "x" * 201},
        {"player_id": "a\0b"},
        {"content": ""},
        {"content": "a\0b"},
        {"content": "x" * (MAX_CONTENT_BYTES + 1)},
        {"content": "é" * (MAX_CONTENT_BYTES // 2 + 1)},
        {"content": "\ud800"},
        {"metadata": {"note": "\ud800"}},
        {"metadata": {"\udfff": 1}},
        {"metadata": {"number": float("nan")}},
        {"metadata": {"number": 2**63}},
        {"metadata": {"deep": orjson.loads("[" * 32 + "]" * 32)}},
        {"created_at": "0001-01-01T00:00:00+14:00"},
        {"created_at": "9999-12-31T23:59:59-14:00"},
        {"role": "system"},
        {"created_at": "2026-03-01T12:00:00"},
        {"metadata": {"x": "y" * 10_000}},
        {"metadata": {"x": ["a\0"]}},
        {"metadata": {"a\0": 1}},
        {"surprise": 1},
    ],
)
def test_a_turn_out_of_bounds_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Turn.model_validate({**TURN, **change})


@pytest.mark.parametrize(
    "change", [{}, {"content": "é" * (MAX_CONTENT_BYTES // 2)}, {"message_id": "x" * 200}, {"content": " \n"}]
)
def test_a_turn_at_its_bounds_is_taken(change: dict[str, Any]) -> None:
    turn = Turn.model_validate({**TURN, **change})
    assert Turn.model_validate_json(turn.model_dump_json()) == turn


def test_batches_are_bounded_and_not_empty() -> None:
    for count in (0, 65):
        with pytest.raises(ValidationError):
            CommitTurns.model_validate({"turns": [TURN] * count})
        with pytest.raises(ValidationError):
            RememberRequest.model_validate({"message_ids": ["m"] * count})


def test_context_asks_for_twenty_turns_and_five_memories_unless_told() -> None:
    request = ContextRequest(persona_id="aria", player_id="p1", conversation_id="c1", query="Hello")
    assert (request.max_turns, request.max_memories) == (20, 5)


def test_statistics_of_nothing_are_a_single_field() -> None:
    assert MemoryStats(total_memories=0).model_dump(exclude_none=True) == {"total_memories": 0}
