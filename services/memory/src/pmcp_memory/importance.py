"""How much a turn matters to memory: pure functions of its text.

The rule existing clients know is: 0.3 + 0.25 emotion + 0.20 significance + 0.10 speaker's interest + 0.05
listener's interest + 0.10 engagement + 0.10 relationship + 0.05 recency, clamped to 0.1..1. Here, a turn
brings its text and nothing else, so the terms of interest and relationship count 0, recency is 1 (it was
just said), and the rest is read off the words. The word lists are English; in another language emotion
and significance show through punctuation and numbers only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pmcp_common.contracts.memories import Role

ASSISTANT_IMPORTANCE = 0.6
ASSISTANT_MIN_CHARS = 50
"""A reply longer than this has a fixed importance; a shorter one is judged by its words, and filler is nothing to
remember."""
USER_MEMORY_TYPE = "user_input"
ASSISTANT_MEMORY_TYPE = "persona_response"
LEAST = 0.1
LISTENING_SHARE = 0.8
"""What one persona hears from another matters so much less to it than to the one who said it."""

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_ENGAGED_WORDS = 30
_FILLER_MAX_WORDS = 5


def _word_list(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FILLER = _word_list(
    """
    hello hi hey hiya greetings good morning evening afternoon day night bye goodbye farewell ok okay
    yes no yeah yep nope sure thanks thank you please well hm hmm ah oh uh um lol haha hahaha cool nice
    great fine right alright aye there so and how are is it what up see later cheers indeed
    """
)
_GLAD = _word_list(
    """
    love loved loves happy glad joy joyful wonderful delighted proud hope grateful excited beautiful
    kind laugh smile enjoy enjoyed fun brave sweet thrilled friend
    """
)
_SAD = _word_list(
    """
    hate hated hates sad afraid scared angry fear lonely alone hurt pain cry cried grief lost died death
    dead dying betrayed ashamed guilty terrible awful worried furious miss enemy killed
    """
)
_SIGNIFICANT = _word_list(
    """
    my name mine i'm called born live lived family mother father sister brother daughter son wife
    husband child children friend secret promise promised remember never always forget dream quest oath
    birthday home favourite favorite because decided believe need must first last
    """
)


@dataclass(frozen=True, slots=True)
class Judgement:
    memory_type: str
    importance: float
    emotional_valence: float


def judge(role: Role, content: str, *, from_persona: bool = False) -> Judgement | None:
    """None: nothing to remember of this turn. `from_persona`: another persona stands in the player's place."""
    if role is Role.ASSISTANT:
        if len(content) > ASSISTANT_MIN_CHARS:
            return Judgement(ASSISTANT_MEMORY_TYPE, ASSISTANT_IMPORTANCE, valence(content))
        if is_filler(_words(content)):
            return None
        return Judgement(ASSISTANT_MEMORY_TYPE, importance(content), valence(content))
    weight = importance(content)
    if from_persona:
        weight = max(LEAST, round(weight * LISTENING_SHARE, 3))
    return Judgement(USER_MEMORY_TYPE, weight, valence(content))


def importance(text: str) -> float:
    """0.1..1. A greeting or a filler is the least there is."""
    words = _words(text)
    if is_filler(words):
        return LEAST
    score = 0.3 + 0.25 * emotion(text, words) + 0.20 * significance(words) + 0.10 * engagement(text, words) + 0.05
    return round(min(max(score, LEAST), 1.0), 3)


def valence(text: str) -> float:
    """-1..1: how the glad words stand against the sad ones; 0 when there are none."""
    words = _words(text)
    glad, sad = sum(word in _GLAD for word in words), sum(word in _SAD for word in words)
    return 0.0 if glad + sad == 0 else round((glad - sad) / (glad + sad), 3)


def is_filler(words: list[str]) -> bool:
    return len(words) <= _FILLER_MAX_WORDS and all(word in _FILLER for word in words)


def emotion(text: str, words: list[str]) -> float:
    """0..1: three signs of feeling are as strong as it gets."""
    signs = sum(word in _GLAD or word in _SAD for word in words) + min(text.count("!"), 2) * 0.5
    return min(signs / 3, 1.0)


def significance(words: list[str]) -> float:
    """0..1: facts of a life, promises, numbers; four are as much as counts."""
    signs = sum(word in _SIGNIFICANT or word.isdigit() for word in words)
    return min(signs / 4, 1.0)


def engagement(text: str, words: list[str]) -> float:
    """0..1: the length of what was said, and whether it asks."""
    return min(len(words) / _ENGAGED_WORDS + (0.2 if "?" in text else 0.0), 1.0)


def _words(text: str) -> list[str]:
    # Typographic apostrophes, as phones write them.
    return _WORD.findall(text.lower().replace("\u2019", "'"))
