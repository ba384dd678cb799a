"""Players come and go: one for the length of a block, of the kind that its way asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bench.soak.library_player import LibraryPlayer
from bench.soak.player import Player, Way
from pmcp_common.testing.history import Recorder


@asynccontextmanager
async def player(recorder: Recorder, urls: Sequence[str], name: str, **options: Any) -> AsyncIterator[Player]:
    """Connected at its first message; `options` are those of `Player`."""
    kind = LibraryPlayer if options.get("way") is Way.LIBRARY else Player
    one = kind(recorder, urls, name, **options)
    try:
        yield one
    finally:
        await one.hang_up()
