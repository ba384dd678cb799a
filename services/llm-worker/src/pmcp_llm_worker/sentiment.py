"""How kind words are to whom they are said. Pure; English words, anything else is neither kind nor unkind.

Not whether a text is sad: somebody who tells of a loss is not unkind. A negation within three words turns a word
round, weaker; a word that strengthens counts half as much again; unkind words aimed at "you" count double.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
REACH = 3
"""Words between a negation, or a "you", and what it is about."""
NEGATED = -0.6
STRENGTHENED = 1.5
AIMED = 2.0


def _words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


KIND = _words_of(
    """
    thank thanks thankful grateful love loved lovely adore admire appreciate wonderful beautiful amazing awesome
    brilliant great excellent fantastic marvellous marvelous perfect sweet kind gentle charming clever wise brave funny
    delightful friend friends enjoy enjoyed glad happy pleased proud trust welcome congratulations bravo hug smile
    sorry apologise apologize forgive please good nice best
    """
)
UNKIND = _words_of(
    """
    hate hated despise loathe stupid idiot idiotic fool foolish dumb moron useless worthless pathetic boring annoying
    ugly disgusting horrible terrible awful liar lying lied cheat traitor coward shut rude nonsense ridiculous worst
    bad damn hell kill hurt threaten insult mock disappointed disappointing angry furious
    """
)
NEGATIONS = _words_of(
    "not no never don't doesn't didn't isn't aren't wasn't won't can't cannot couldn't hardly without"
)
STRENGTHENERS = _words_of("very so really truly such extremely absolutely totally too most deeply")
YOU = _words_of("you your you're yours yourself u")


def sentiment(text: str) -> float:
    """-1..1, never quite either; 0 when no word says anything."""
    words = _WORD.findall(text.lower().replace("\u2019", "'"))
    total = sum(_weigh(words, position) for position in range(len(words)))
    return round(total / (abs(total) + 1), 4)


def _weigh(words: list[str], position: int) -> float:
    word = words[position]
    if word not in KIND and word not in UNKIND:
        return 0.0
    weight = 0.5 if word in ("please", "good", "nice", "bad") else 1.0
    before, after = words[max(0, position - REACH) : position], words[position + 1 : position + 1 + REACH]
    if before and before[-1] in STRENGTHENERS:
        weight *= STRENGTHENED
    if word in UNKIND:
        weight = -weight * (AIMED if YOU.intersection((*before, *after)) else 1.0)
    return weight * NEGATED if NEGATIONS.intersection(before) else weight
