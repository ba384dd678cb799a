"""Which words of a text say something: greetings, fillers, words of grammar and keyboard noise do not. Pure.

The lists are English. A word that is in none of them says something, so in another language all words do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_KEYBOARD_RUN = 3
_NOISE_MIN_CHARS = 4
_NO_VOWEL = re.compile(r"[bcdfghjklmnpqrstvwxz]{3,}")
_CHANTED = re.compile(r"([a-z]{1,3})\1{2,}")
"""The same letters three times and nothing else: "aaaa", "hahaha"."""


def word_list(text: str) -> frozenset[str]:
    """Of words between spaces."""
    return frozenset(text.split())


FILLER = word_list(
    """
    hello hi hey hiya howdy yo sup greetings welcome good morning evening afternoon day night bye goodbye farewell ok
    okay k kk yes no yeah yea yep yup nope nah sure thanks thank thx ty you please pls well hm hmm hmmm mm mhm ah aha oh
    ooh uh uhm um er erm huh eh lol lmao rofl haha hahaha hehe heh xd wow whoa meh yay cool nice great fine
    right alright aye there so and how are is it it's that that's what
    what's up see later cheers indeed really oops hooray blah bla
    la omg wtf brb gg
    """
)
"""A turn of these alone is nothing to remember."""

_GRAMMAR = word_list(
    """
    i i'm i've i'll i'd me my mine myself you you're you've you'll you'd your yours yourself he he's him his himself she
    she's her hers herself it its itself we we're we've we'll us our ours they they're they've them their theirs this
    these those here a an the who who's whom whose which when where why am was were be been being do does did doing done
    don't doesn't didn't have has had having haven't hasn't isn't aren't wasn't weren't will won't would wouldn't shall
    can can't cannot could couldn't may might must should shouldn't of to in on at by for with from into onto over under
    about as than then but or nor if because though while until not too also just only even still again very much more
    most some any all both each other such out off down let let's im dont cant thats whats ur u r
    """
)
_PHATIC = word_list(
    """
    take know think guess mean say said tell told hear heard understand agree sound sounds seem seems looks course
    worries problem bad else something anything nothing thing things stuff way lot bit maybe perhaps care going go goes
    happening meet meeting talk chat speak goodnight lovely awesome perfect interesting absolutely exactly totally
    definitely true
    wait moment second sec sorry pardon excuse pleasure continue got get gotcha idk doing today tonight tomorrow
    soon now new one okay ready back
    """
)
"""Of small talk, together with those above: "nice to meet you", "let me think", "see you tomorrow"."""
_ANSWERS = word_list(
    "yes yeah yea yep yup aye no nope nah never always sometimes not do don't did didn't am was have can"
)

_GREETED = re.compile(
    r"\b(?:hi|hello|hey|hiya|howdy|yo|greetings|welcome|thanks|thank you|thx|bye|goodbye|farewell|cheers|goodnight"
    r"|good (?:morning|evening|afternoon|day|night))\b[\s,]+(?:(?:my|dear|again)\s+)*([^\W\d_]+)(?=\s*(?:[,.;:!?]|$))",
    re.IGNORECASE,
)
"""The name after a greeting: "Hi Aria, …"."""
_ADDRESSED = re.compile(r"(?<=[\w.!?]),\s+([A-Z][^\W\d_]+)\s*[.!?…]*\s*$")
"""The name at the end: "I see, Aria."."""


def words_of(text: str) -> list[str]:
    """In lower case, apostrophes as keyboards write them."""
    return _WORD.findall(_plain(text).lower())


def content_words(text: str) -> list[str]:
    """Those that say something."""
    content = [word for word in words_of(text) if not _is_empty(word)]
    for name in {*_named(_GREETED, text), *_named(_ADDRESSED, text)}:
        if name in content:
            content.remove(name)
    return content


def is_filler(text: str) -> bool:
    """Greetings, interjections, noise, signs: not one word besides."""
    greeted = _named(_GREETED, text)
    return all(word in FILLER or word in greeted or is_noise(word) for word in words_of(text))


def is_noise(word: str) -> bool:
    """No word of any language: "asdf", "hjkl", "mmmm", "aaaa"."""
    if not word.isascii() or not word.isalpha():
        return False
    return bool(_NO_VOWEL.fullmatch(word) or _CHANTED.fullmatch(word)) or _is_typed_along(word)


def answers(words: Sequence[str]) -> bool:
    """Whether it is an answer to a question of yes and no."""
    return any(word in _ANSWERS for word in words)


def _is_empty(word: str) -> bool:
    return word in FILLER or word in _GRAMMAR or word in _PHATIC or is_noise(word)


def _is_typed_along(word: str) -> bool:
    """Made of runs of neighbouring keys and nothing else: "asdf", "qweqwe", "lkjh"."""
    if len(word) < _NOISE_MIN_CHARS:
        return False
    start = 0
    while start < len(word):
        length = _run(word, start)
        if length < _KEYBOARD_RUN:
            return False
        start += length
    return True


def _run(word: str, start: int) -> int:
    rows = (*_KEYBOARD, *(row[::-1] for row in _KEYBOARD))
    length = 1
    while start + length < len(word) and any(word[start : start + length + 1] in row for row in rows):
        length += 1
    return length


def _named(called: re.Pattern[str], text: str) -> set[str]:
    return {name.lower() for name in called.findall(_plain(text))}


def _plain(text: str) -> str:
    # Typographic apostrophes, as phones write them.
    return text.replace("\u2019", "'")
