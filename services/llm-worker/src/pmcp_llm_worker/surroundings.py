"""What surrounds a message, as sentences for the last turn of the prompt (pure).

It comes from clients and is therefore told as what it is, what someone sees or says; it is bounded, because it must not
drive the conversation out of the window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pmcp_common.contracts.talks import Circumstances

MAX_CHARS = 900
MAX_VALUE_CHARS = 200
MAX_DEPTH = 4
CUT = "…"


def describe(circumstances: Circumstances, sights: Mapping[str, object], persona_name: str) -> str:
    """Empty when nothing is known."""
    text = " ".join(_sentences(circumstances, sights, persona_name))
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + CUT


def _sentences(circumstances: Circumstances, sights: Mapping[str, object], persona_name: str) -> Iterator[str]:
    if circumstances.speaker_name:
        about = f" about {_plain(circumstances.topic)}" if circumstances.topic else ""
        yield f"{persona_name} talks with {_plain(circumstances.speaker_name)}{about}."
    if circumstances.room:
        yield f"They are in the room {_plain(circumstances.room)}."
    if circumstances.notes:
        yield f"The situation: {_listed(circumstances.notes)}."
    for kind, seen in sights.items():
        yield f"What is to be seen ({_plain(kind)}): {_listed(seen)}."


def _listed(value: object, depth: int = 0) -> str:
    if isinstance(value, Mapping):
        if depth >= MAX_DEPTH:
            return CUT
        return "; ".join(f"{_plain(key)}: {_listed(one, depth + 1)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return CUT if depth >= MAX_DEPTH else ", ".join(_listed(one, depth + 1) for one in value)
    return _plain(value)


def _plain(value: object) -> str:
    """One line, without what could be taken for the end of the note."""
    text = (
        {True: "yes", False: "no", None: "nothing"}[value] if value is None or isinstance(value, bool) else str(value)
    )
    text = " ".join(text.split())
    return text if len(text) <= MAX_VALUE_CHARS else text[: MAX_VALUE_CHARS - 1] + CUT
