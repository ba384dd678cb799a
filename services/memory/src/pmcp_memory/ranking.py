"""What makes one memory better than another for a question: the parts of a score and their weights. Pure.

`recall.sql` measures the parts and adds them up with these weights; here is what each part means, and which of them
a recalled memory reports as its reasons. The parts and why they are there: docs/memory.md, with its sources.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

PARTS: Mapping[str, float] = {
    # Cosine to the question, 0..1 between the worst and the best candidate.
    "meaning": 1.0,
    # The best cosine here or within three turns around, same scale: an answer stands beside its question.
    "nearby": 0.45,
    # Share of the question's words (rare among the candidates counts more: BM25's idf) that are said here or, fading,
    # within three turns around.
    "wording": 1.2,
    # 1: said by the one whom the question names, or means by "I" or "you".
    "speaker_asked": 0.55,
    # 1: of the month the question names; 0.3: only the year is named.
    "date_asked": 0.6,
    # 1: says when something was.
    "tells_time": 0.12,
    # How many of: a time, a number, a name the question wants and the memory has.
    "cues_asked": 0.3,
    # 1: is itself a question.
    "only_asks": -0.2,
    # Tie-breakers: measured to harm when they weigh more (docs/memory.md).
    "importance": 0.05,
    "recency": 0.02,
    "relationship": 0.05,
}
"""Part → weight, in the order of the statement's parameter."""

CANDIDATES = 70
"""Of each kind, by meaning and by words: more gains nothing at one persona's size and costs time."""
FADING = (1.0, 0.7, 0.45, 0.45)
"""What a word counts that is said here, one turn away, two, three."""


def score(parts: Mapping[str, float], weights: Mapping[str, float] = PARTS) -> float:
    """As the statement adds them up."""
    return math.fsum(weight * parts[name] for name, weight in weights.items())


def reasons(parts: Mapping[str, float], weights: Mapping[str, float] = PARTS) -> dict[str, float]:
    """What each part brought to the score; those that brought nothing are left out. Their sum is the score."""
    brought = {name: weight * parts[name] for name, weight in weights.items()}
    return {name: value for name, value in brought.items() if value != 0}


def word_weight(candidates: int, found: int) -> float:
    """BM25's inverse document frequency (Robertson & Zaragoza 2009), over the candidates: always positive."""
    return math.log(1 + (candidates - found + 0.5) / (found + 0.5))


def wording(distances: Sequence[int | None], weights: Sequence[float]) -> float:
    """0..1. `distances`: in turns, from the memory to where each word of the question is said; None: nowhere near."""
    total = math.fsum(weights)
    if total <= 0:
        return 0.0
    said = (
        weight * FADING[distance]
        for distance, weight in zip(distances, weights, strict=True)
        if distance is not None and distance < len(FADING)
    )
    return math.fsum(said) / total
