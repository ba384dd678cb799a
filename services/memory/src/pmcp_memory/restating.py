"""When two texts are the same words, said again. Pure.

What is said again becomes a source of the memory that is there, so everything that could make it another fact keeps it
apart: who said it, the question before it, a sign such as "?" or "-", a word of time. Memories that only sound alike
are never merged: what a cosine calls the same can be the opposite. The rules of grammar are English.
"""

from __future__ import annotations

import hashlib
import re

from pmcp_memory.cues import Cue, cues_of

_SPACE_OR_STOP = re.compile(r"(?:[.,;!]+(?=\s|$)|\s)+")
"""Of all signs, these change nothing."""
_QUOTED = re.compile(r"\"")
_DASH = re.compile(r"(?<=[a-z,]) -+ (?=[a-z])")
_MORE_STOPS = re.compile(r"[.,;:!]+(?=\s|$|\?)")
_ASKED_LOUDLY = re.compile(r"\?[?!]+")
_TYPED = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2026": "..."})
"""As phones write them."""

_FILLED = re.compile(r"(?<![\w'-])(?:u+m+|u+h+|uhm|hm+|erm|oh+|actually|basically)(?![\w'-])[,.!]*", re.IGNORECASE)
_LED_IN = re.compile(
    r"(?:^|(?<=[.!?;]\s))\s*(?:(?:well|so|anyway|honestly|look|listen|okay|ok|hey|hi|hello|please|you know|you see"
    r"|i mean)\s*,\s*)+",
    re.IGNORECASE,
)
_LED_OUT = re.compile(r",\s*(?:please|you know|you see|i mean)(?=\s*(?:[.,;!?]|$))", re.IGNORECASE)
_NAME_A = re.compile(r"(?<=[\w,;] )A(?![\w'-])")
"""Not an article: of "plan A"."""
_ARTICLE = re.compile(r"(?<![\w'-])(?:an?|the) (?!(?:few|little|bit|lot|while)\b)(?=[^\W\d_])")
"""Not where it tells apart: "a few" is not "few"."""

_SPELT_OUT = tuple(
    (re.compile(rf"(?<![\w'-])(?:{short})(?![\w'-])"), full)
    for short, full in (
        ("can't|cannot|cant", "can not"),
        ("won't", "will not"),
        ("shan't", "shall not"),
        (r"(are|is|was|were|have|has|had|do|does|did|could|would|should|must|need|might)n'?t", r"\1 not"),
        ("i'm|im", "i am"),
        (r"(\w+)'re", r"\1 are"),
        (r"(\w+)'ve", r"\1 have"),
        (r"(\w+)'ll", r"\1 will"),
        ("gonna", "going to"),
        ("wanna", "want to"),
        ("let's", "let us"),
        (r"(he|she|it|that|this|there|here|who|what|where|when|how)'s", r"\1 is"),
        (r"(\w+)'s(?= (?:called|named|an?|the|my|your|his|her|our|their|not|from|in|at|very|so|too)\b)", r"\1 is"),
    )
)
"""Those that can be read in one way only. "Tom's" is Tom's or "Tom is", and "I'd" had or would: they stay, unless the
next word tells."""


def wording_key(text: str) -> str:
    """The same for texts that differ in case, spaces, full stops and the like, contractions, articles and fillers
    only."""
    bare = _bare(text)
    # A text of nothing else is that.
    return _hashed(bare, text) if bare else older_wording_key(text)


def older_wording_key(text: str) -> str:
    """As memories kept it before contractions, articles and fillers were seen through: case, spaces and stops only."""
    return _hashed(_SPACE_OR_STOP.sub(" ", text.replace("\u2019", "'").lower()).strip(), text)


def may_be_merged(text: str, lead_in: str) -> bool:
    """Not what tells a time: "today" is another day the next time. Words of time are known in English only, so a text
    with other letters is not merged either."""
    together = _plain(f"{lead_in} {text}")
    return together.isascii() and not cues_of(together) & Cue.TIME


def _bare(text: str) -> str:
    said = " ".join(_plain(text).split())
    for unsaid in (_FILLED, _LED_IN, _LED_OUT, _QUOTED):
        said = " ".join(unsaid.sub("", said).split())
    said = _NAME_A.sub("a-", said).lower()
    for short, full in _SPELT_OUT:
        said = short.sub(full, said)
    said = _MORE_STOPS.sub("", _ASKED_LOUDLY.sub("?", _DASH.sub(" ", said)))
    return " ".join(_ARTICLE.sub("", " ".join(said.split())).split())


def _hashed(bare: str, text: str) -> str:
    return hashlib.blake2b((bare or text.strip() or text).encode(), digest_size=16).hexdigest()


def _plain(text: str) -> str:
    return text.translate(_TYPED)
