"""The yardstick moves the same bytes: its frames have the public frames' fields, and its batches lose nothing."""

from collections.abc import MutableMapping
from typing import Any

import orjson

from bench.relay import LiveStream
from pmcp_common.contracts import frames
from pmcp_common.contracts.jobs import Delta


async def frames_of_one_reply() -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(orjson.loads(message["text"]))

    live = LiveStream(send, "r1", "5f2c", 0.0)
    await live.begin("hello")
    await live.delta("[[m]]")
    await live.delta(" w1")
    await live.end()
    return sent


async def test_frames_repeat_the_id_and_number_themselves() -> None:
    sent = await frames_of_one_reply()
    assert [frame["id"] for frame in sent] == ["r1"] * 4
    assert [frame["result"]["seq"] for frame in sent] == [0, 1, 2, 3]
    assert [frame["result"]["event_type"] for frame in sent] == [
        frames.START,
        frames.CHUNK,
        frames.CHUNK,
        frames.COMPLETE,
    ]


async def test_a_chunk_frame_has_the_fields_of_the_public_one() -> None:
    chunk = (await frames_of_one_reply())[2]["result"]
    public = frames.chunk_result(Delta("5f2c", 2, 1, " w1"), "0a1b2c3d", chunk["timestamp"], 2, 8)
    assert set(chunk) == set(public)
    assert set(chunk["data"]) == set(public["data"])


async def test_the_end_frame_holds_the_whole_text() -> None:
    end = (await frames_of_one_reply())[-1]["result"]
    assert end["full_response"] == end["data"]["full_response"] == "[[m]] w1"
    assert end["data"]["chunk_count"] == 2
