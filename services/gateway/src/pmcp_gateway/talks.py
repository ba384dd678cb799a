"""Talks between personas: what is known of one, and the port to where it is kept. Adapter: `talks_redis`.

A talk lives in the broker, not in a gateway: any gateway may bring its next turn. One turn is made at a time, under a
hold that ends by itself should its gateway die.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from pmcp_common.contracts.talks import goes_on

HOLD_SECONDS = 330
"""Longer than the longest reply."""


@dataclass(frozen=True, slots=True)
class Participant:
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Talk:
    tenant: str
    conversation_id: str
    principal: str
    first: Participant
    second: Participant
    topic: str
    token_budget: int
    started_ms: int
    last_ms: int
    turns: int = 0
    tokens_used: int = 0
    last_line: str | None = None
    score: float | None = None
    """By which the last turn was routed."""
    end_reason: str | None = None
    """None: it goes on."""

    @property
    def tokens_left(self) -> int:
        return max(0, self.token_budget - self.tokens_used)

    @property
    def should_continue(self) -> bool:
        return self.end_reason is None and goes_on(self.score, self.tokens_left)

    @property
    def duration_seconds(self) -> float:
        return (self.last_ms - self.started_ms) / 1000

    def next_pair(self) -> tuple[Participant, Participant]:
        """Who speaks now, and who listens."""
        return (self.first, self.second) if self.turns % 2 == 0 else (self.second, self.first)

    def message(self) -> str:
        """What the one who speaks now has just heard."""
        speaker, _ = self.next_pair()
        return self.last_line or f"Good to see you, {speaker.name}. Let us talk about {self.topic.replace('_', ' ')}."

    def after_turn(self, line: str, tokens: int, score: float | None, now_ms: int) -> Talk:
        return replace(
            self,
            turns=self.turns + 1,
            tokens_used=self.tokens_used + tokens,
            last_line=line,
            score=self.score if score is None else score,
            last_ms=now_ms,
        )

    def ended(self, reason: str, now_ms: int) -> Talk:
        return replace(self, end_reason=reason, last_ms=now_ms)


class Talks(Protocol):
    """Every method raises Unavailable when the broker is away."""

    async def begin(self, talk: Talk, session_id: str) -> None:
        """Store a new talk; it becomes the session's own."""
        ...

    async def get(self, tenant: str, conversation_id: str) -> Talk | None: ...

    async def of_session(self, tenant: str, session_id: str) -> str | None:
        """The conversation id of the talk it started last."""
        ...

    async def leave(self, tenant: str, session_id: str) -> None:
        """The session has no talk of its own any more; the talk itself stays."""
        ...

    async def hold(self, tenant: str, conversation_id: str, holder: str) -> bool:
        """False: somebody else is changing it."""
        ...

    async def release(self, tenant: str, conversation_id: str, holder: str, talk: Talk | None) -> bool:
        """Store `talk` (None: leave it as it is) and let others change it. False: the hold was lost, nothing stored."""
        ...
