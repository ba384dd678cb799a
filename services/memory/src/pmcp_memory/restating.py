"""When two texts are the same words, said again. Pure.

What is said again becomes a source of the memory that is there, so everything that could make it another fact keeps it
apart: who said it, the question before it, a sign such as "?" or "-", a word of time. Memories that only sound alike
are never merged: what a cosine calls the same can be the opposite.
"""

from __future__ import annotations

import hashlib
import re

from pmcp_memory.cues import Cue, cues_of

_SPACE_OR_STOP = re.compile(r"(?:[.,;!]+(?=\s|$)|\s)+")
"""Of all signs, these change nothing."""


def wording_key(text: str) -> str:
    """The same for texts that differ in case, spaces and full stops, commas and the like only."""
    bare = _SPACE_OR_STOP.sub(" ", _plain(text).lower()).strip()
    return hashlib.blake2b((bare or text.strip() or text).encode(), digest_size=16).hexdigest()


def may_be_merged(text: str, lead_in: str) -> bool:
    """Not what tells a time: "today" is another day the next time. Words of time are known in English only, so a text
    with other letters is not merged either."""
    together = _plain(f"{lead_in} {text}")
    return together.isascii() and not cues_of(together) & Cue.TIME


def _plain(text: str) -> str:
    return text.replace("\u2019", "'")
