"""A long message is long, ends with its question, and is the same each time."""

from __future__ import annotations

from bench.memory.dialogues import read_first_person
from bench.memory.long_messages import WORDS, ask_at_the_end


def test_questions_come_at_the_end_of_long_messages_with_the_same_evidence() -> None:
    dialogues = read_first_person()
    longer = ask_at_the_end(dialogues)
    assert longer == ask_at_the_end(dialogues)
    for before, after in zip(dialogues, longer, strict=True):
        assert before.turns == after.turns
        for short, long in zip(before.queries, after.queries, strict=True):
            assert long.text.endswith(f" {short.text}")
            talk = len(long.text.removesuffix(short.text).split())
            assert WORDS[0] <= talk <= WORDS[1] + 30
            assert (long.evidence, long.category) == (short.evidence, short.category)
