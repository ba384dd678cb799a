"""Port: what of a player is still under way and would change a world that is being saved or loaded.

Adapter: `underway_redis`. Every method raises `Unavailable` when Redis cannot be reached.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

HOLD_SECONDS = 180
"""Longer than the longest load."""


class Underway(Protocol):
    async def replies(self, tenant: str, conversation_ids: Collection[str]) -> bool:
        """Whether a message in one of these waits for its reply."""
        ...

    async def effects(self, tenant: str, conversation_ids: Collection[str]) -> bool:
        """Whether a reply of one of these has ended and is not remembered yet, nor felt."""
        ...

    async def owed(self, tenant: str, player_id: str) -> bool:
        """Whether messages of this player wait for the memory service to come back."""
        ...

    async def hold(self, tenant: str, player_id: str, holder: str) -> bool:
        """One save or load of a player at a time; False: there is one. Ends by itself should its gateway die.

        While a holder that begins with `load:` has it, the queue takes no message of the player.
        """
        ...

    async def release(self, tenant: str, player_id: str, holder: str) -> None: ...
