"""Whatever the library tells an application instead of a reply's end fails the run: nobody helps it along."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.soak.library_player import LibraryGaveUp, LibraryPlayer
from bench.soak.player import Way
from pmcp_client.connection import Client
from pmcp_client.failures import CallFailed, ConnectionLost, StreamBroken, StreamFailed, StreamNotResumable
from pmcp_common.contracts.errors import INVALID_PARAMS, UNAVAILABLE
from pmcp_common.testing.history import Recorder, read_history
from pmcp_common.testing.history_entries import RequestRefused

UNAVAILABLE_NOW = CallFailed(UNAVAILABLE.code, "away", {"retry_after": 1.0}, retryable=True)


async def heard(path: Path, stream: Callable[..., Awaitable[Any]]) -> LibraryPlayer:
    with Recorder(path) as recorder:
        player = LibraryPlayer(recorder, ["ws://nowhere"], "p", way=Way.LIBRARY)
        player._client = cast(Client, SimpleNamespace(stream=stream))
        await player.hear(player.begin())
    return player


def refusals(path: Path) -> list[int]:
    return [entry.code for entry in read_history(path) if isinstance(entry, RequestRefused)]


@pytest.mark.parametrize(
    "failure",
    [
        ConnectionLost(1006, "gone"),
        ConnectionLost(4011, "replaced"),
        TimeoutError(),
        OSError("unreachable"),
        UNAVAILABLE_NOW,
    ],
)
async def test_a_message_that_the_library_does_not_get_accepted_fails_the_run(
    tmp_path: Path, failure: Exception
) -> None:
    async def stream(*_: object) -> Any:
        raise failure

    with pytest.raises(LibraryGaveUp):
        await heard(tmp_path / "history", stream)
    assert refusals(tmp_path / "history") == [0]


@pytest.mark.parametrize(
    "failure",
    [
        StreamBroken("a gap"),
        StreamNotResumable("s", "expired"),
        ConnectionLost(None, ""),
        StreamFailed(UNAVAILABLE_NOW, {}),
    ],
)
async def test_a_reply_that_the_library_breaks_off_fails_the_run(tmp_path: Path, failure: Exception) -> None:
    async def text() -> str:
        raise failure

    async def stream(*_: object) -> Any:
        return SimpleNamespace(text=text)

    with pytest.raises(LibraryGaveUp):
        await heard(tmp_path / "history", stream)
    assert refusals(tmp_path / "history") == [0]


async def test_a_refusal_that_no_time_changes_is_an_answer(tmp_path: Path) -> None:
    async def stream(*_: object) -> Any:
        raise CallFailed(INVALID_PARAMS.code, "no", {}, retryable=False)

    player = await heard(tmp_path / "history", stream)
    assert player.told[0].state == "refused"
    assert refusals(tmp_path / "history") == [INVALID_PARAMS.code]
