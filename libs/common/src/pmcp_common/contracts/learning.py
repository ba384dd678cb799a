"""What a model learns from turns of a conversation, as the worker and the memory service exchange it.

What was learned is the model's word, not anybody's: it is private, has no speaker, and ends with any of its turns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from pmcp_common.contracts.memories import ToRemember, Turn
from pmcp_common.contracts.personas import Contract, Identifier

MAX_TURNS_TO_LEARN = 20
MAX_LESSONS = 8
MAX_LESSON_CHARS = 300


class Lesson(Contract):
    memory_type: Literal["learning", "reflection"]
    content: Annotated[ToRemember, Field(max_length=MAX_LESSON_CHARS)]


class LearningTask(Contract):
    """What to learn from next. No turns: nothing is due."""

    turns: tuple[Turn, ...] = Field(description="oldest first; nothing was learned from them yet")


class LearningDraft(Contract):
    """What a model made of turns; no lessons: it found nothing in them. Refused when a turn has changed since it was
    read."""

    persona_id: Identifier
    player_id: Identifier
    message_ids: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=MAX_TURNS_TO_LEARN)]
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] = Field(description="`digest_of` the turns")
    model: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
    lessons: Annotated[tuple[Lesson, ...], Field(max_length=MAX_LESSONS)] = ()


class Learned(Contract):
    """`stored` counts what is new; 0 for turns that were learned from already."""

    stored: int = Field(ge=0)


def digest_of(turns: Iterable[tuple[str, str]]) -> str:
    """Of message ids and texts, in their order."""
    told = "\0".join(part for turn in turns for part in turn)
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()
