"""What a client keeps to come back with, and a reply that is under way."""

from __future__ import annotations

from typing import Any

from .conftest import Player, Reply, Worker

CHAT = "persona.chat_stream"
HELLO = {"message": "Hello", "persona_id": "Aria"}


def credentials(opened: dict[str, Any]) -> dict[str, Any]:
    return {"session_id": opened["session_id"], "resume_token": opened["resume_token"]}


def position(start: dict[str, Any], last_seq: int) -> dict[str, Any]:
    return {"stream_id": start["stream_id"], "epoch": start["epoch"], "last_seq": last_seq}


async def begin(player: Player, worker: Worker, *said: str, **params: Any) -> tuple[dict[str, Any], Reply]:
    """A stream whose first pieces have arrived."""
    start = (await player.ask(CHAT, {**HELLO, **params}, params.get("player_id", "s")))["result"]
    reply = await worker.take()
    for piece in said:
        await reply.say(piece)
        assert (await player.receive())["result"]["chunk"] == piece
    return start, reply


async def events(player: Player) -> list[dict[str, Any]]:
    """Notifications up to the end of the stream."""
    seen: list[dict[str, Any]] = []
    while not seen or seen[-1]["event_type"] == "stream_chunk":
        frame = await player.receive()
        assert (frame["method"], "id" in frame) == ("stream.event", False)
        seen.append(frame["params"])
    return seen
