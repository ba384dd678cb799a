"""Turns, memories and recall, as services exchange them.

Ids are 1..200 characters without NUL (PostgreSQL text cannot hold it); content is bounded in UTF-8 bytes,
the unit the socket's limit has too. Importance 0..1, emotional valence -1..1, similarity -1..1 (cosine).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from pmcp_common.contracts.personas import Contract, Identifier

MAX_CONTENT_BYTES = 32 * 1024
MAX_TURNS_PER_COMMIT = 64
MAX_TURNS_IN_CONTEXT = 200
MAX_MEMORIES_PER_RECALL = 100
MAX_MESSAGES_PER_REMEMBER = 64
MAX_METADATA_BYTES = 8 * 1024
MAX_METADATA_DEPTH = 32
MAX_RELATED_PERSONAS = 64


def _fits_content(value: str) -> str:
    if len(value.encode()) > MAX_CONTENT_BYTES:
        raise ValueError(f"content is over {MAX_CONTENT_BYTES} bytes")
    return value


def _says_something(value: str) -> str:
    if not value.strip():
        raise ValueError("is required")
    return value


def _fits_metadata(value: dict[str, Any]) -> dict[str, Any]:
    """Size is judged on repr: this package has no JSON encoder, and the bound need not be exact."""
    if len(repr(value)) > MAX_METADATA_BYTES:
        raise ValueError(f"metadata is over {MAX_METADATA_BYTES} bytes")
    if reason := _unfit(value, MAX_METADATA_DEPTH):
        raise ValueError(f"metadata {reason}")
    return value


def _unfit(value: object, depth: int) -> str:
    """Why it cannot be kept as JSON of a database; empty: it can."""
    if isinstance(value, str):
        return _unfit_text(value)
    if isinstance(value, dict | list | tuple):
        if not depth:
            return f"is nested deeper than {MAX_METADATA_DEPTH}"
        parts = (*value, *value.values()) if isinstance(value, dict) else value
        return next((reason for part in parts if (reason := _unfit(part, depth - 1))), "")
    if isinstance(value, float) and not math.isfinite(value):
        return "holds a number that is none"
    return "holds an integer of more than 64 bits" if isinstance(value, int) and not -(2**63) <= value < 2**63 else ""


def _unfit_text(value: str) -> str:
    if "\x00" in value:
        return "holds a NUL character"
    return "holds half a character" if any("\ud800" <= sign <= "\udfff" for sign in value) else ""


def _in_calendar(value: datetime) -> datetime:
    """The first and the last day there are may lie beyond it in UTC, which the database keeps."""
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is beyond the calendar") from None
    return value


Content = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00]+$"), AfterValidator(_fits_content)]
"""What someone said or what is remembered: not empty, no NUL, at most 32 KiB of UTF-8."""

ToRemember = Annotated[Content, AfterValidator(_says_something)]
"""What a client wants remembered: content that is not blank."""

Moment = Annotated[AwareDatetime, AfterValidator(_in_calendar)]
"""As a client gives it: with an offset, and of the calendar in UTC too."""

Metadata = Annotated[dict[str, Any], AfterValidator(_fits_metadata)]
Importance = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Valence = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
MemoryType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,49}$")]
RelatedPersonas = Annotated[
    tuple[Identifier, ...],
    Field(max_length=MAX_RELATED_PERSONAS),
    AfterValidator(lambda ids: tuple(dict.fromkeys(ids))),
]
"""Ids of personas, each once."""


class Role(StrEnum):
    USER = "user"
    ASSISTANT = "assistant"


class Visibility(StrEnum):
    """Private: this player and persona. Shared: any persona of the tenant asks. Public: anyone of the
    tenant."""

    PRIVATE = "private"
    SHARED = "shared"
    PUBLIC = "public"


class Turn(Contract):
    """One side of an exchange. Its `message_id` is its identity: committing it again changes nothing."""

    message_id: Identifier
    conversation_id: Identifier
    persona_id: Identifier
    player_id: Identifier
    role: Role
    content: Content
    created_at: Moment
    metadata: Metadata = Field(default_factory=dict, description="request id, model, finish reason …")


class CommitTurns(Contract):
    turns: Annotated[tuple[Turn, ...], Field(min_length=1, max_length=MAX_TURNS_PER_COMMIT)]


class CommitResult(Contract):
    """`stored` counts what is new; 0 means that all of it was there already."""

    stored: int = Field(ge=0)


class ContextRequest(Contract):
    """All that one reply needs from memory. `query` is the user's message."""

    persona_id: Identifier
    player_id: Identifier
    conversation_id: Identifier
    query: Content
    max_turns: int = Field(default=20, ge=0, le=MAX_TURNS_IN_CONTEXT)
    max_memories: int = Field(default=5, ge=0, le=MAX_MEMORIES_PER_RECALL)


class Neighbour(Contract):
    """A memory that stood beside a recalled one in the same sitting."""

    id: Identifier
    step: int = Field(description="-1: the one before, 1: the one after")
    speaker: str | None
    content: str


class RecalledMemory(Contract):
    id: Identifier
    content: str
    memory_type: MemoryType
    importance: Importance
    emotional_valence: Valence
    related_personas: tuple[Identifier, ...]
    visibility: Visibility
    created_at: AwareDatetime
    accessed_count: int = Field(ge=0)
    similarity: float = Field(ge=-1.001, le=1.001, description="cosine to the query, before any other weight")
    speaker: str | None = Field(default=None, description="name of who said it, where it is known")
    occurred_at: AwareDatetime | None = Field(default=None, description="when it was said or happened")
    source_message_ids: tuple[Identifier, ...] = ()
    score: float | None = Field(default=None, description="what the order follows; comparable within one answer")
    reasons: dict[str, float] = Field(default_factory=dict, description="what brought the score: its parts, summed up")
    neighbours: tuple[Neighbour, ...] = ()


class ContextResponse(Contract):
    """`recall` says whether `memories` is an answer: "unavailable" is a failure, not "nothing remembered"."""

    turns: tuple[Turn, ...] = Field(description="the newest `max_turns`, oldest first")
    summary: str | None = Field(description="of what lies before the turns; None: none written yet")
    memories: tuple[RecalledMemory, ...] = Field(description="best first; sources not among the turns")
    recall: Literal["ok", "unavailable"]


class Standing(Contract):
    """What the persona whose memories are made, and the one it talks with, care for; how they stand to each other."""

    topic_preferences: dict[str, int] = Field(default_factory=dict, description="the persona's, 0..100")
    partner_topic_preferences: dict[str, int] = Field(
        default_factory=dict, description="of the persona in the player's place; a player's are not known"
    )
    relationship_strength: float = Field(default=0.0, ge=-1, le=1, allow_inf_nan=False)


class RememberRequest(Contract):
    """Committed turns to make memories of. Asking again for the same turns stores nothing twice."""

    message_ids: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=MAX_MESSAGES_PER_REMEMBER)]
    standing: Standing | None = Field(
        default=None, description="for how much the turns matter; None: their words alone tell"
    )


class RecallRequest(Contract):
    persona_id: Identifier
    player_id: Identifier
    query: Content
    n_results: int = Field(default=5, ge=1, le=MAX_MEMORIES_PER_RECALL)
    memory_type: MemoryType | None = None
    min_importance: Importance = 0.0
    as_of: Moment | None = Field(default=None, description="only what had happened by then")


class RecallResponse(Contract):
    memories: tuple[RecalledMemory, ...]


class MemoryStats(Contract):
    """Over what one player may recall of one persona. An empty store has `total_memories=0` and no other
    field set: leave those that are None out of an answer to a client."""

    total_memories: int = Field(ge=0)
    avg_importance: Importance | None = None
    memory_types: dict[str, int] | None = None
    high_importance_count: int | None = Field(default=None, ge=0, description="importance of at least 0.7")
    created_today: int | None = Field(default=None, ge=0, description="since midnight UTC")
    oldest_memory: AwareDatetime | None = None
    newest_memory: AwareDatetime | None = None
    stats_calculation_time_ms: float | None = Field(default=None, ge=0)
