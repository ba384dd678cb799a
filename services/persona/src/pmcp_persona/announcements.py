"""Port: tell whoever listens that a persona has a new version or is gone. Adapter: `announcements_redis`.

A hint, never the truth: caches go by version, so a lost one costs a few seconds of an old name. Nothing waits for it
and no failure of it reaches a caller.
"""

from __future__ import annotations

from typing import Protocol


class Announcer(Protocol):
    async def changed(self, tenant: str, persona_id: str) -> None:
        """Raises nothing."""
        ...
