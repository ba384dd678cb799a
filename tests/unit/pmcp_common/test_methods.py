"""The method table and the page drawn from it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pmcp_common.contracts import document
from pmcp_common.contracts.frames import chunk_result, end_result, start_result
from pmcp_common.contracts.jobs import Accepted, Delta, End
from pmcp_common.contracts.methods import MAX_MESSAGE_BYTES, METHODS, ChatParams
from pmcp_common.contracts.stream_models import StreamReadParams
from tests.house.sources import ROOT


def test_the_protocol_page_is_what_the_contracts_say() -> None:
    assert (ROOT / "docs" / "protocol.md").read_text() == document.render(), "run `make docs`"


def test_every_method_and_field_is_on_the_page() -> None:
    page = document.render()
    for method in METHODS.values():
        assert f"### {method.name}" in page
        for model in (method.params, method.result):
            assert all(f"`{name}`" in page for name in (model.model_fields if model else ()))


@pytest.mark.parametrize(
    "message", ["", "  \n", "a\0b", "x" * (MAX_MESSAGE_BYTES + 1), "é" * (MAX_MESSAGE_BYTES // 2 + 1)]
)
def test_blank_endless_and_nul_messages_are_refused(message: str) -> None:
    with pytest.raises(ValidationError):
        ChatParams.model_validate({"message": message})


def test_the_largest_message_is_accepted() -> None:
    assert ChatParams.model_validate({"message": "x" * MAX_MESSAGE_BYTES}).token_budget == 500


@pytest.mark.parametrize("name", ["player_id", "sender"])
def test_the_player_may_be_called_player_id_or_sender(name: str) -> None:
    assert ChatParams.model_validate({"message": "Hi", name: "@bob:example.org"}).player_id == "@bob:example.org"


def test_fields_of_old_clients_are_ignored() -> None:
    assert ChatParams.model_validate({"message": "Hi", "websocket_id": "conn_1"}).message == "Hi"


@pytest.mark.parametrize("position", [-1, "3", 2**63, 1.5, True])
def test_a_stream_position_is_a_non_negative_integer(position: object) -> None:
    with pytest.raises(ValidationError):
        StreamReadParams.model_validate({"stream_id": "s", "after_seq": position})


def test_frames_carry_the_payload_where_existing_clients_look_for_it() -> None:
    start = start_result(Accepted("s", "m", "e", "p", "Aria"), "Hi", 50, "t", "durable")
    chunk = chunk_result(Delta("s", 1, 1, "Well"), "e", "t", number=1, total_length=4)
    end = End("s", 2, 1, "done", "stop", "Well", "hash", "m", "u", "p", "Aria", tokens_used=1, processing_time=0.5)
    complete = end_result(end, "e", "t")
    assert (start["event_type"], start["data"]["persona_name"], start["seq"]) == ("stream_start", "Aria", 0)
    assert chunk["chunk"] == chunk["data"]["chunk"] == "Well"
    assert (chunk["data"]["chunk_number"], chunk["data"]["total_length"]) == (1, 4)
    for name in ("full_response", "tokens_used", "processing_time"):
        assert complete[name] == complete["data"][name]


@pytest.mark.parametrize(
    ("state", "event_type"),
    [("cancelled", "stream_cancelled"), ("failed", "stream_error"), ("done", "stream_complete")],
)
def test_each_end_has_its_event_type(state: str, event_type: str) -> None:
    end = End("s", 1, 1, state, "x", "", "", "m", "u", "p", "Aria")
    assert end_result(end, "e", "t")["event_type"] == event_type
