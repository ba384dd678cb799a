from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_client.failures import ConnectionLost, StreamBroken, StreamFailed
from pmcp_client.stream import MAX_GAPS, MAX_WAITING_FRAMES, Fed, ReplyStream

START = {"event_type": "stream_start", "stream_id": "s", "message_id": "m", "epoch": "e", "seq": 0}


async def no_cancel(_stream_id: str, _heard_chars: int | None) -> None:
    raise AssertionError


def chunk(seq: Any, text: str, **more: Any) -> dict[str, Any]:
    return {"result": {"event_type": "stream_chunk", "seq": seq, "chunk": text, **more}}


def end(seq: int, text: str, kind: str = "stream_complete", **more: Any) -> dict[str, Any]:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"result": {"event_type": kind, "seq": seq, "sha256": digest, **more}}


def stream_of(*frames: dict[str, Any]) -> ReplyStream:
    stream = ReplyStream(no_cancel, START)
    for frame in frames:
        stream.feed(frame)
    return stream


@given(st.lists(st.text(), max_size=6))
async def test_a_whole_reply_is_handed_out_and_checked(pieces: list[str]) -> None:
    text = "".join(pieces)
    stream = stream_of(*(chunk(n, piece) for n, piece in enumerate(pieces, 1)), end(len(pieces) + 1, text))
    assert (stream.stream_id, stream.message_id, stream.epoch) == ("s", "m", "e")
    assert await stream.text() == text
    assert stream.terminal is not None
    assert stream.last_seq == len(pieces) + 1


async def test_a_merged_frame_covers_its_positions() -> None:
    stream = stream_of(chunk(1, "a"), chunk(4, "bcd", first_seq=2), end(5, "abcd"))
    assert await stream.text() == "abcd"


@pytest.mark.parametrize(
    "frames",
    [
        [chunk(1, "a"), end(2, "b")],
        [chunk(1, "a"), {"result": {"event_type": "stream_chunk", "seq": 2}}],
        [{"result": {"event_type": "surprise"}}],
        [chunk(1, "a"), {"result": {"event_type": "stream_complete", "seq": 2}}],
        [{"result": {"event_type": "stream_chunk", "chunk": "a"}}],
        [chunk("1", "a")],
    ],
    ids=["hash", "no text", "unknown", "no hash", "no position", "position is text"],
)
async def test_a_reply_that_is_not_whole_is_broken(frames: list[dict[str, Any]]) -> None:
    with pytest.raises(StreamBroken):
        await stream_of(*frames).text()


@pytest.mark.parametrize(
    "missing",
    [chunk(3, "c"), chunk(4, "cd", first_seq=3), end(3, "a")],
    ids=["chunk", "merged", "end"],
)
async def test_what_is_missing_is_asked_for_and_what_comes_twice_is_dropped(missing: dict[str, Any]) -> None:
    stream = stream_of(chunk(1, "a"))
    assert stream.feed(missing) is Fed.GAP
    assert stream.received_seq == 1
    assert [stream.feed(frame) for frame in (chunk(1, "a"), chunk(2, "b"))] == [Fed.GOES_ON] * 2
    assert stream.feed(end(3, "ab")) is Fed.ENDED
    assert await stream.text() == "ab"


async def test_a_stream_that_misses_something_again_and_again_is_broken() -> None:
    stream = stream_of()
    assert [stream.feed(chunk(2, "b")) for _ in range(MAX_GAPS + 1)] == [Fed.GAP] * MAX_GAPS + [Fed.ENDED]
    with pytest.raises(StreamBroken, match="position 1 expected"):
        await stream.text()


async def test_a_cancelled_reply_ends_normally() -> None:
    stream = stream_of(chunk(1, "a"), end(2, "a", "stream_cancelled", state="cancelled"))
    assert await stream.text() == "a"
    assert stream.terminal is not None
    assert stream.terminal["state"] == "cancelled"


async def test_a_failed_reply_raises_after_its_text() -> None:
    error = {"code": -32003, "message": "Chat streaming failed", "data": {"retryable": True}}
    stream = stream_of(chunk(1, "a"), {**end(2, "a", "stream_error"), "error": error})
    pieces = []
    with pytest.raises(StreamFailed) as failed:  # noqa: PT012 - the text comes before the failure
        async for piece in stream:
            pieces.append(piece)
    assert (pieces, failed.value.code, failed.value.retryable) == (["a"], -32003, True)


async def test_a_reply_the_gateway_gave_up_may_have_no_hash() -> None:
    error = {"code": -32010, "message": "late", "data": {}}
    frame = {"result": {"event_type": "stream_error", "seq": 2}, "error": error}
    with pytest.raises(StreamFailed, match="late"):
        await stream_of(chunk(1, "a"), frame).text()


async def test_a_lost_connection_ends_the_iteration() -> None:
    stream = stream_of(chunk(1, "a"))
    stream.break_off(ConnectionLost(1012, "service restart"))
    with pytest.raises(ConnectionLost) as lost:
        await stream.text()
    assert lost.value.code == 1012


async def test_frames_nobody_reads_are_bounded() -> None:
    stream = ReplyStream(no_cancel, START)
    fed = sum(stream.feed(chunk(seq, "x")) is Fed.GOES_ON for seq in range(1, MAX_WAITING_FRAMES + 2))
    assert fed == MAX_WAITING_FRAMES
    with pytest.raises(StreamBroken, match="unread"):
        await stream.text()
