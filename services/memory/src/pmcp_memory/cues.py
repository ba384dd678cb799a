"""Signs a text carries that a question can ask for: a time, a number, a name. Pure; English words.

A memory keeps its signs as bits of one integer (`memories.cues`), so that recall can weigh them in SQL. What a
question asks for, whom it means by "I" and "you", which month it names: read here too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Literal


class Cue(IntFlag):
    """Stored: a bit keeps its number for ever."""

    TIME = 1
    NUMBER = 2
    NAME = 4
    QUESTION = 8


Side = Literal["player", "persona"]

MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)

_TIME = re.compile(
    r"\b(?:yesterday|today|tonight|tomorrow|last|next|ago|week|weekend|month|year|morning|evening|recently|since|soon"
    r"|monday|tuesday|wednesday|thursday|friday|saturday|sunday|just"
    r"|january|february|march|april|june|july|august|september|october|november|december)s?\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"\b(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|dozen|couple|few|once|twice|both)\b", re.IGNORECASE
)
_NAME = re.compile(r"(?<=[a-z,;] )(?!I\b)[A-Z][a-z]+|[\"“]")
_MEANS_PLAYER = re.compile(r"\b(?:i|i'm|i've|i'd|i'll|me|my|mine|myself)\b", re.IGNORECASE)
_MEANS_PERSONA = re.compile(r"\b(?:you|your|yours|yourself|you've|you're|you'd)\b", re.IGNORECASE)
# "do you remember …", "did I tell you …": who is asked to remember is not who is asked about.
_ADDRESS = re.compile(
    r"\b(?:(?:do|can|could|would|will) you (?:still )?(?:remember|recall|know|tell)(?: me)?"
    r"|(?:tell|told|mention(?:ed)?|say|said|confess(?:ed)?|explain(?:ed)?|show(?:ed|n)?)(?: to)? (?:you|me)"
    r"|remind me|ask(?:ed)? you|tell me)\b",
    re.IGNORECASE,
)
_ASKS_TIME = re.compile(r"\bwhen\b|\bwhat (?:date|day|month|year|time)\b|\bhow long\b", re.IGNORECASE)
_ASKS_NUMBER = re.compile(r"\bhow (?:many|much|often|long|old|far)\b", re.IGNORECASE)
_ASKS_NAME = re.compile(r"\b(?:who|whom|whose|which|where|names?|called)\b", re.IGNORECASE)
_LAST_QUESTION = re.compile(r"[^.!?\n]*\?")
_SENTENCE_END = re.compile(r"(?<=[.!?\u2026])[\"'\u201d\u2019)]*\s+|\n+")
LONG_WORDS = 60
"""A message of more is told, not asked: what it asks comes at its end."""
_ASKED_WORDS = 12
_POINTS_BACK = re.compile(
    r"\b(?:he|him|his|she|hers?|it|its|they|them|theirs?|that|this|these|those|there|then|one|so)\b", re.IGNORECASE
)
_NAMES_NOTHING = frozenset(
    re.findall(
        r"[a-z]+",
        "a about again all am an and any are as at be been but by can could did do does for from had has have how i if"
        " in is just know may me might mind mine my not of on or please really remember right say should still tell the"
        " think to was we were what when where which who whom whose why will with would you your",
    )
)
_YEAR = re.compile(r"\b(?:19|20|21)\d\d\b")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question names, besides its words."""

    months: tuple[int, ...]
    """1..12"""
    years: tuple[int, ...]
    sides: tuple[Side, ...]
    """Whom "I" and "you" mean."""
    cues: Cue
    """What an answer would carry."""


def cues_of(text: str) -> Cue:
    cues = Cue(0)
    if _TIME.search(text):
        cues |= Cue.TIME
    if _NUMBER.search(text):
        cues |= Cue.NUMBER
    if _NAME.search(text):
        cues |= Cue.NAME
    if text.rstrip().endswith("?"):
        cues |= Cue.QUESTION
    return cues


def last_question(text: str) -> str:
    """The last sentence that asks; empty when none does."""
    found = _LAST_QUESTION.findall(text)
    return found[-1].strip() if found else ""


def asked_at_last(text: str) -> str:
    """Of a long message, what it asks: from its last question on; where that points back ("What was her name again?")
    or names nothing, with so many sentences before it that there are some words. A short message, or one that does not
    ask at its end, as it is."""
    if len(text.split()) <= LONG_WORDS:
        return text
    sentences = [part for part in _SENTENCE_END.split(text) if part.strip()]
    asking = [number for number, sentence in enumerate(sentences) if sentence.rstrip("\"'\u201d\u2019) ").endswith("?")]
    if not asking:
        return text
    first = asking[-1]
    if len(" ".join(sentences[first:]).split()) > LONG_WORDS:
        return text
    if not _stands_alone(sentences[first]):
        while first > 0 and len(" ".join(sentences[first:]).split()) < _ASKED_WORDS:
            first -= 1
    return " ".join(sentence.strip() for sentence in sentences[first:])


def _stands_alone(question: str) -> bool:
    words = set(re.findall(r"[^\W_]+", question.lower()))
    return bool(words - _NAMES_NOTHING) and not _POINTS_BACK.search(question)


def read_question(text: str) -> Asked:
    text = text.replace("\u2019", "'")
    words = re.findall(r"[A-Za-z]+", text)
    # "may" and "march" are months only when written as names.
    named = {word.lower() for word in words if word.lower() not in ("may", "march") or word[0].isupper()}
    months = tuple(number for number, month in enumerate(MONTHS, start=1) if month in named)
    years = tuple(sorted({int(year) for year in _YEAR.findall(text)}))
    return Asked(months, years, _sides(text), _wanted_cues(text))


def _wanted_cues(text: str) -> Cue:
    cues = Cue(0)
    if _ASKS_TIME.search(text):
        cues |= Cue.TIME
    if _ASKS_NUMBER.search(text):
        cues |= Cue.NUMBER
    if _ASKS_NAME.search(text):
        cues |= Cue.NAME
    return cues


def _sides(text: str) -> tuple[Side, ...]:
    about = _ADDRESS.sub(" ", text)
    sides: list[Side] = []
    if _MEANS_PLAYER.search(about):
        sides.append("player")
    if _MEANS_PERSONA.search(about):
        sides.append("persona")
    return tuple(sides)


def without_names(text: str, names: Sequence[str]) -> str:
    """The question without its participants, whose names are everywhere and tell memories apart badly; unchanged when
    nothing else is left."""
    parts = sorted({part for name in names for part in name.split() if len(part) > 1}, key=len, reverse=True)
    if not parts:
        return text
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, parts))})(?:'s|\u2019s)?(?!\w)", re.IGNORECASE)
    rest = " ".join(pattern.sub(" ", text).split())
    return rest if re.search(r"\w", rest) else text
