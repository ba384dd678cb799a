"""How much a turn matters to memory: pure functions of its text, and of how its two sides stand to it.

The rule existing clients know is: 0.3 + 0.25 emotion + 0.20 significance + 0.10 speaker's interest + 0.05
listener's interest + 0.10 engagement + 0.10 relationship + 0.05 recency, clamped to 0.1..1. Recency is 1 (it was
just said); interest and relationship count what the caller knows of them, and 0 without; the rest is read off the
words. What says nothing has the least importance, and one word alone is no more than a little. The word lists are
English; in another language emotion and significance show through punctuation and numbers only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pmcp_common.contracts.memories import Role, Standing
from pmcp_memory.content_words import answers, content_words, is_filler, word_list, words_of

ASSISTANT_IMPORTANCE = 0.6
ASSISTANT_MIN_CHARS = 50
"""A reply longer than this has a fixed importance; a shorter one is judged by its words, and filler is nothing to
remember."""
USER_MEMORY_TYPE = "user_input"
ASSISTANT_MEMORY_TYPE = "persona_response"
LEAST = 0.1
LISTENING_SHARE = 0.8
"""What one persona hears from another matters so much less to it than to the one who said it."""

MOST_OF_ONE_WORD = 0.2
"""Of a single word that answers nothing."""

_ENGAGED_WORDS = 30
_TOPIC_PARTS = re.compile(r"[^\W_]+")
_LONG_TOPIC = 4
"""Letters from which on a topic is recognised in another form of its word."""
_ENDING_CHARS = 3


_GLAD = word_list(
    """
    love loved loves happy glad joy joyful wonderful delighted proud hope grateful excited beautiful
    kind laugh smile enjoy enjoyed fun brave sweet thrilled friend
    """
)
_SAD = word_list(
    """
    hate hated hates sad afraid scared angry fear lonely alone hurt pain cry cried grief lost died death
    dead dying betrayed ashamed guilty terrible awful worried furious miss enemy killed
    """
)
_SIGNIFICANT = word_list(
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


@dataclass(frozen=True, slots=True)
class Ties:
    """How the two who talk stand to what is said and to each other, 0..1 each; 0 where nobody knows."""

    speaker_interest: float = 0.0
    listener_interest: float = 0.0
    relationship: float = 0.0


NO_TIES = Ties()


def judge(
    role: Role,
    content: str,
    *,
    lead_in: str = "",
    opens_sitting: bool = False,
    from_persona: bool = False,
    standing: Standing | None = None,
) -> Judgement | None:
    """None: nothing to remember of this turn. `lead_in`: the question before it. `opens_sitting`: those after it are
    placed by it, so a player's is kept, however little it says. `from_persona`: another persona stands in the player's
    place."""
    if role is Role.ASSISTANT and len(content) > ASSISTANT_MIN_CHARS:
        return Judgement(ASSISTANT_MEMORY_TYPE, ASSISTANT_IMPORTANCE, valence(content))
    if is_filler(content) and (role is Role.ASSISTANT or not (opens_sitting or lead_in)):
        return None
    weight = importance(content, lead_in, _ties(role, content, standing))
    if role is Role.ASSISTANT:
        return Judgement(ASSISTANT_MEMORY_TYPE, weight, valence(content))
    if from_persona:
        weight = max(LEAST, round(weight * LISTENING_SHARE, 3))
    return Judgement(USER_MEMORY_TYPE, weight, valence(content))


def importance(text: str, lead_in: str = "", ties: Ties = NO_TIES) -> float:
    """0.1..1. What says nothing is the least there is: a greeting, filler, noise. An answer says what its question
    asks."""
    words, content = words_of(text), content_words(text)
    answered = bool(lead_in) and bool(content_words(lead_in)) and (bool(content) or answers(words))
    if not content and not answered:
        return LEAST
    score = 0.3 + 0.25 * emotion(text, words) + 0.20 * significance(words) + 0.10 * engagement(text, words) + 0.05
    score += 0.10 * ties.speaker_interest + 0.05 * ties.listener_interest + 0.10 * ties.relationship
    # Where words are not written apart, one may be a sentence.
    most = MOST_OF_ONE_WORD if len(set(words)) == 1 and text.isascii() and not answered else 1.0
    return round(min(max(score, LEAST), most), 3)


def interest(text: str, topic_preferences: Mapping[str, int]) -> float:
    """0..1: of the topics that the words name, the dearest; 0 when they name none."""
    words = words_of(text)
    named = [level for topic, level in topic_preferences.items() if _names(words, topic)]
    return min(max([*named, 0]), 100) / 100


def _names(words: list[str], topic: str) -> bool:
    """Every word of the topic, in any order, plurals and endings aside."""
    parts = _TOPIC_PARTS.findall(topic.lower())
    return bool(parts) and all(any(_same_word(part, word) for word in words) for part in parts)


def _same_word(part: str, word: str) -> bool:
    if part == word:
        return True
    stem = part[:-1] if part.endswith("s") else part
    return len(stem) >= _LONG_TOPIC and word.startswith(stem) and len(word) - len(stem) <= _ENDING_CHARS


def _ties(role: Role, content: str, standing: Standing | None) -> Ties:
    """The memory's persona listens to the other side and speaks its own replies."""
    if standing is None:
        return NO_TIES
    own = interest(content, standing.topic_preferences)
    other = interest(content, standing.partner_topic_preferences)
    # A foe's words matter as a friend's do.
    bond = abs(standing.relationship_strength)
    return Ties(own, other, bond) if role is Role.ASSISTANT else Ties(other, own, bond)


def valence(text: str) -> float:
    """-1..1: how the glad words stand against the sad ones; 0 when there are none."""
    words = words_of(text)
    glad, sad = sum(word in _GLAD for word in words), sum(word in _SAD for word in words)
    return 0.0 if glad + sad == 0 else round((glad - sad) / (glad + sad), 3)


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
