"""What follows from how a reply went."""

from __future__ import annotations

import pytest

from pmcp_llm_worker.turn_outcome import count_tokens


@pytest.mark.parametrize(("words", "tokens"), [(0, 0), (1, 1), (10, 13), (100, 130)])
def test_tokens_nobody_counted_are_words_times_1_3(words: int, tokens: int) -> None:
    assert count_tokens(" ".join(["word"] * words)) == tokens
