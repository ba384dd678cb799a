"""Where a continued reply meets what was shown of it (pure): what the model says again is left out.

A server that continues an open message begins right behind it; one that does not begins anew, or repeats the last
words. Both must read as one text, because what was shown stays. Knows no stream and no model.
"""

from __future__ import annotations

MIN_OVERLAP_CHARS = 12
"""Shorter repetitions are left alone: "no, no" and "ha ha" are meant."""
MIN_RESTART_CHARS = 2
"""A repetition of the whole text is a new beginning, however short the text is."""


def trim_seam(said: str, text: str) -> str:
    """`text` without the beginning that repeats the end of `said`, or all of it."""
    for candidate in (text, text.lstrip()):
        length = _overlap(said, candidate)
        if length >= MIN_OVERLAP_CHARS or length == len(said) >= MIN_RESTART_CHARS:
            return _join(said, candidate[length:])
    return _join(said, text)


def _overlap(said: str, text: str) -> int:
    """Length of the longest end of `said` with which `text` begins."""
    return next((n for n in range(min(len(said), len(text)), 0, -1) if said.endswith(text[:n])), 0)


def _join(said: str, text: str) -> str:
    return text.lstrip() if said[-1:].isspace() else text


class Seam:
    """`trim_seam` for a text that comes in pieces: holds back only what may still turn out to be a repetition."""

    def __init__(self, said: str) -> None:
        self._said = said
        self._held = ""
        self._open = bool(said)

    def feed(self, piece: str) -> str:
        """What can be shown now."""
        if not self._open:
            return piece
        self._held += piece
        if self._held in self._said or self._held.lstrip() in self._said:
            return ""
        return self.end()

    def end(self) -> str:
        """What was held back, when no more comes."""
        self._open = False
        held, self._held = self._held, ""
        return trim_seam(self._said, held)
