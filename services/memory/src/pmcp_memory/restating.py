"""When two memories say the same. Pure.

A restated memory is merged: its source is added to the one that is there. What differs in a number, a name or a
"not" is another fact however alike it sounds, and merging would lose it.
"""

from __future__ import annotations

import hashlib
import re

SAME_COSINE = 0.95
"""Paraphrases of one sentence; measured on the embedded model, where unlike facts of one form ("my dog is called Rex",
"my cat is called Rex") stay below."""

_WORD = re.compile(r"\w+(?:'\w+)?")
_NUMBER = re.compile(r"\d+|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|hundred|thousand)\b")
_NAME = re.compile(r"(?<=[a-z,;:] )(?!I\b)[A-Z]\w+")
_NOT = re.compile(r"\b(?:not?|never|nobody|nothing|none|cannot|without)\b|n't\b")


def wording_key(text: str) -> str:
    """The same for texts that differ in case, punctuation and spaces only."""
    words = _WORD.findall(text.lower().replace("\u2019", "'"))
    return hashlib.blake2b(" ".join(words or [text]).encode(), digest_size=16).hexdigest()


def says_the_same(one: str, other: str, cosine: float) -> bool:
    return cosine >= SAME_COSINE and _facts(one) == _facts(other)


def _facts(text: str) -> tuple[frozenset[str], frozenset[str], bool]:
    text = text.replace("\u2019", "'")
    lower = text.lower()
    return frozenset(_NUMBER.findall(lower)), frozenset(_NAME.findall(text)), bool(_NOT.search(lower))
