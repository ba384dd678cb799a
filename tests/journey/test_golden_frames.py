"""The wire form of every method, success and refusal, byte for byte as tests/journey/golden_frames.json has it.

Only ids, times and measures are replaced by their names first (`placeholders`). A frame that changes breaks somebody's
parser. After a wanted change: delete the file, run this test once (it fails and writes the file), and look at the
difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from pmcp_common.contracts.methods import METHODS
from tests.journey.conftest import World, new_player
from tests.journey.placeholders import settled, settled_frames
from tests.journey.visit import Asked, refusals, successes
from tests.journey.wire import ENDS, ask, raw_socket

GOLDEN = Path(__file__).with_name("golden_frames.json")


def _told(asked: Asked) -> dict[str, Any]:
    return {"request": settled({**asked.request, "id": "<id>"}), "answer": _without_id(settled_frames(asked.frames))}


def _without_id(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: "<id>" if name == "id" else value for name, value in frame.items()} for frame in frames]


@pytest.fixture
async def frames(stack: World) -> dict[str, dict[str, list[Any]]]:
    """Method → each success and the refusal, as the wire had them."""
    found: dict[str, dict[str, list[Any]]] = {method: {"success": [], "refusal": []} for method in METHODS}
    for asked in await refusals(stack):
        found[asked.method]["refusal"].append(_told(asked))
    for asked in await successes(stack):
        found[asked.method]["success"].append(_told(asked))
    return found


async def test_every_method_keeps_to_its_golden_frames(frames: dict[str, dict[str, list[Any]]]) -> None:
    if not GOLDEN.exists():
        GOLDEN.write_bytes(orjson.dumps(frames, option=orjson.OPT_INDENT_2) + b"\n")
        pytest.fail(f"{GOLDEN.name} was written; look at it and keep it")
    golden = orjson.loads(GOLDEN.read_bytes())
    assert golden.keys() == METHODS.keys()
    changed = {method for method in METHODS if orjson.dumps(golden[method]) != orjson.dumps(frames[method])}
    assert {method: (golden[method], frames[method]) for method in sorted(changed)} == {}
    assert [method for method in METHODS if not golden[method]["success"] or not golden[method]["refusal"]] == []


async def test_success_has_no_error_key_and_failure_no_result_key(stack: World) -> None:
    async with raw_socket(stack.gateways[0]) as socket:
        (success,) = await ask(socket, {"jsonrpc": "2.0", "id": "a", "method": "persona.list", "params": None})
        (failure,) = await ask(socket, {"jsonrpc": "2.0", "id": "b", "method": "persona.switch"})
    assert success.keys() == {"jsonrpc", "id", "result"}
    assert failure.keys() == {"jsonrpc", "id", "error"}
    assert failure["error"]["message"] == "persona_id is required"
    assert failure["error"]["data"]["detail"] == "Internal error: persona_id is required"


@pytest.mark.parametrize("number", ["init_persona", "msg_1763726400", 7, 0, -3.5])
async def test_an_id_comes_back_with_its_exact_type(stack: World, number: Any) -> None:
    async with raw_socket(stack.gateways[0]) as socket:
        (answer,) = await ask(
            socket, {"id": number, "method": "session.get_info", "params": {"websocket_id": "conn_1"}}
        )
    assert answer["id"] == number
    assert type(answer["id"]) is type(number)


async def test_the_bots_way_switch_by_name_then_messages_in_a_room(stack: World) -> None:
    async with raw_socket(stack.gateways[0]) as socket:
        (switched,) = await ask(
            socket, {"id": "init_persona", "method": "persona.switch", "params": {"persona_id": "kIRA"}}
        )
        assert switched["result"]["name"] == "Kira"
        params = {"content": "Good evening", "sender": f"@{new_player()}:localhost", "room_id": "!r:localhost"}
        (said,) = await ask(socket, {"id": "msg_1763726400", "method": "conversation.send_message", "params": params})
    assert said["result"]["response"]


async def test_the_stream_clients_way_payload_in_data_and_copied_to_the_top(stack: World) -> None:
    async with raw_socket(stack.gateways[0]) as socket:
        await ask(socket, {"id": "s", "method": "persona.switch", "params": {"persona_id": "aria"}})
        params = {"message": "A song", "token_budget": 150, "player_id": new_player()}
        frames = await ask(socket, {"id": "c", "method": "persona.chat_stream", "params": params})
    start, *chunks, end = (frame["result"] for frame in frames)
    assert (start["event_type"], start["data"]["message"], start["data"]["token_budget"]) == (
        "stream_start",
        "A song",
        150,
    )
    assert start["persona_id"] == start["data"]["persona_id"]
    assert all(chunk["chunk"] == chunk["data"]["chunk"] for chunk in chunks)
    assert [chunk["data"]["chunk_number"] for chunk in chunks] == list(range(1, len(chunks) + 1))
    assert end["event_type"] in ENDS
    for field in ("full_response", "tokens_used", "processing_time"):
        assert end[field] == end["data"][field]
    assert end["data"]["full_response"] == "".join(chunk["chunk"] for chunk in chunks)
    assert end["timestamp"].endswith("Z")


async def test_a_stream_that_cannot_begin_is_one_frame_with_both_keys(stack: World) -> None:
    async with raw_socket(stack.gateways[0]) as socket:
        (frame,) = await ask(socket, {"id": "x", "method": "persona.chat_stream", "params": {"message": "Hi"}})
    assert frame["result"]["event_type"] == "stream_error"
    assert frame["error"]["code"] == -32001
    assert "No persona selected" in frame["error"]["message"]
