"""What follows from how a reply went."""

from __future__ import annotations

import pytest

from pmcp_common.contracts.jobs import End
from pmcp_llm_worker.turn_outcome import count_tokens, has_effects


@pytest.mark.parametrize(("words", "tokens"), [(0, 0), (1, 1), (10, 13), (100, 130)])
def test_tokens_nobody_counted_are_words_times_1_3(words: int, tokens: int) -> None:
    assert count_tokens(" ".join(["word"] * words)) == tokens


@pytest.mark.parametrize(
    ("state", "response_type", "effects"),
    [
        ("done", "direct", True),
        ("done", "closing", True),
        ("done", "fallback", False),
        ("cancelled", "direct", False),
        ("failed", "direct", False),
    ],
)
def test_only_what_the_persona_said_to_the_end_has_effects(state: str, response_type: str, effects: bool) -> None:
    end = End("s", 1, 1, state, "stop", "", "", "m", "u", "p", "Aria", response_type=response_type)
    assert has_effects(end) is effects
