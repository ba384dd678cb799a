"""What a continue score is worth: a full, shortened or constrained reply, or a line of farewell (pure).

Bounds and temperatures are those existing clients know: 80, 60 and 40 points; 0.8, 0.6 and 0.5; 100 and 50 words.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from pmcp_common.contracts.talks import CONTINUE_AT, Routing
from pmcp_llm_worker.model import Generation

FULL_AT = 80.0
SHORTENED_AT = 60.0
LEAVING_BELOW = 50.0
"""From here down to a farewell the reply says that one is near: half of the constrained range, so that nobody takes
leave of a stranger whose second message finds it at 58."""
MIDDLE_TEMPERATURE = 0.7
"""The setting's default, which the table's temperatures are relative to."""
TOKENS_FOR_A_WORD = 2.0
"""A cap that only stops a model that does not keep to its words: half as much again as a word costs."""
FAREWELLS = (
    "I should be on my way now. It was good to talk with you.",
    "Let us leave it there for today; I am weary of talking.",
    "Forgive me, I must go. We will speak another time.",
)


@dataclass(frozen=True, slots=True)
class ReplyPlan:
    routing: Routing
    temperature: float
    max_words: int | None
    guidance: str = ""
    """For the prompt."""


FULL = ReplyPlan(Routing.FULL, 0.8, 100)
SHORTENED = ReplyPlan(Routing.SHORTENED, 0.6, 75, "Answer in at most 75 words.")
CONSTRAINED = ReplyPlan(Routing.CONSTRAINED, 0.5, 50, "Answer in at most 50 words.")
LEAVING = replace(CONSTRAINED, guidance="Answer in at most 50 words and let it show that you will have to leave soon.")
CLOSING = ReplyPlan(Routing.CLOSING, 0.0, None)
UNSCORED = ReplyPlan(Routing.FULL, MIDDLE_TEMPERATURE, None)
"""How the persona stands is not known."""


def plan_reply(score: float | None) -> ReplyPlan:
    if score is None:
        return UNSCORED
    if score < CONTINUE_AT:
        return CLOSING
    if score < LEAVING_BELOW:
        return LEAVING
    return FULL if score >= FULL_AT else SHORTENED if score >= SHORTENED_AT else CONSTRAINED


def bound(generation: Generation, plan: ReplyPlan, token_budget: int) -> Generation:
    """The least of the operator's, the client's and the plan's caps; the temperature in the plan's proportion."""
    caps = [generation.max_tokens, token_budget]
    if plan.max_words is not None:
        caps.append(int(plan.max_words * TOKENS_FOR_A_WORD))
    temperature = generation.temperature * plan.temperature / MIDDLE_TEMPERATURE
    return replace(generation, max_tokens=max(1, min(caps)), temperature=round(min(2.0, temperature), 3))


def farewell(stream_id: str) -> str:
    """The same one for the same stream, so that a second attempt says the same."""
    return FAREWELLS[int.from_bytes(hashlib.sha256(stream_id.encode()).digest()[:8]) % len(FAREWELLS)]
