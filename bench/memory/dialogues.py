"""Dialogues with questions about them, read from files: LoCoMo's and our own in first person.

Knows the two file formats and nothing of memory. LoCoMo (Maharana et al., ACL 2024; snap-research/LoCoMo) is licensed
CC BY-NC 4.0 and is no part of this repository: its file is named by whoever runs the bench.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

FIRST_PERSON = Path(__file__).parent / "first_person"
CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
_KINDS = {"multi": 1, "temporal": 2, "open": 3, "single": 4}
_TURN_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Said:
    id: str
    speaker: str
    by_player: bool
    text: str
    session: int
    """1.. in the order of the dialogue."""
    at: datetime


@dataclass(frozen=True, slots=True)
class Query:
    text: str
    evidence: frozenset[str]
    """Ids of the turns that answer it; not empty."""
    category: int


@dataclass(frozen=True, slots=True)
class Dialogue:
    id: str
    speakers: tuple[str, str]
    """The one who stands for the player, the one who stands for the persona."""
    turns: Sequence[Said]
    queries: Sequence[Query]


def read_locomo(path: Path) -> list[Dialogue]:
    """A turn is its text and, in brackets, the caption of a photo it shares. Questions without evidence that
    exists are left out."""
    return [_locomo_dialogue(sample) for sample in orjson.loads(path.read_bytes())]


def _locomo_dialogue(sample: dict[str, Any]) -> Dialogue:
    conversation = sample["conversation"]
    speakers = (conversation["speaker_a"], conversation["speaker_b"])
    numbers = sorted(int(key.removeprefix("session_")) for key in conversation if re.fullmatch(r"session_\d+", key))
    turns = [
        Said(
            id=turn["dia_id"],
            speaker=turn["speaker"],
            by_player=turn["speaker"] == speakers[0],
            text=_with_caption(turn),
            session=number,
            at=at,
        )
        for number in numbers
        for turn, at in zip(
            conversation[f"session_{number}"],
            _stamps(_session_start(conversation[f"session_{number}_date_time"])),
            strict=False,
        )
    ]
    known = {turn.id for turn in turns}
    queries = [
        Query(question["question"], evidence, question["category"])
        for question in sample["qa"]
        if (evidence := frozenset(_evidence(question["evidence"])) & known)
    ]
    return Dialogue(sample["sample_id"], speakers, turns, queries)


def _with_caption(turn: dict[str, Any]) -> str:
    caption = turn.get("blip_caption")
    return f"{turn['text']} [{caption}]" if caption else str(turn["text"])


def _evidence(entries: Sequence[str]) -> Iterator[str]:
    """Some entries hold several ids, some ids leading zeros."""
    for entry in entries:
        for session, turn in re.findall(r"D\s*(\d+)\s*:\s*(\d+)", entry):
            yield f"D{int(session)}:{int(turn)}"


def _session_start(text: str) -> datetime:
    """As in "1:56 pm on 8 May, 2023"."""
    return datetime.strptime(f"{text} +0000", "%I:%M %p on %d %B, %Y %z")


def _stamps(start: datetime) -> Iterator[datetime]:
    number = 0
    while True:
        yield start + timedelta(seconds=number * _TURN_SECONDS)
        number += 1


def read_first_person(directory: Path = FIRST_PERSON) -> list[Dialogue]:
    """Our own: one file per player and persona; a turn that is evidence carries a tag."""
    return [_own_dialogue(path.stem, orjson.loads(path.read_bytes())) for path in sorted(directory.glob("*.json"))]


def _own_dialogue(name: str, document: dict[str, Any]) -> Dialogue:
    turns = [
        Said(
            id=turn[2] if len(turn) > 2 else f"{number}-{place}",
            speaker=document[turn[0]],
            by_player=turn[0] == "player",
            text=turn[1],
            session=number,
            at=at,
        )
        for number, session in enumerate(document["sessions"], start=1)
        for place, (turn, at) in enumerate(
            zip(session["turns"], _stamps(datetime.fromisoformat(session["date"])), strict=False)
        )
    ]
    queries = [
        Query(question["q"], frozenset(question["evidence"]), _KINDS[question["kind"]])
        for question in document["questions"]
    ]
    return Dialogue(name, (document["player"], document["persona"]), turns, queries)


def pool(dialogues: Sequence[Dialogue]) -> Dialogue:
    """All as one persona's memory of one player; ids get their dialogue's name."""
    return Dialogue(
        "pooled",
        dialogues[0].speakers,
        [
            Said(f"{one.id}/{turn.id}", turn.speaker, turn.by_player, turn.text, turn.session, turn.at)
            for one in dialogues
            for turn in one.turns
        ],
        [
            Query(query.text, frozenset(f"{one.id}/{turn}" for turn in query.evidence), query.category)
            for one in dialogues
            for query in one.queries
        ],
    )
