"""Where a turn stands: its place in the conversation, the sitting it belongs to, the question it answers. Pure.

Recall looks at neighbours within one sitting, so place and sitting are stored with each memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pmcp_common.contracts.memories import Role, Turn
from pmcp_memory.cues import Cue, Side, cues_of, last_question

SITTING_GAP = timedelta(hours=1)
"""After a longer silence it is another sitting: what was said before is no neighbour any more."""
MAX_LEAD_IN_CHARS = 300
_MAX_SPEAKER_CHARS = 100


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A committed turn and what the store knows of its surroundings."""

    turn: Turn
    ordinal: int
    """1..: its number in the conversation."""
    before: Turn | None
    """The turn before it in the conversation."""
    episode_before: int
    """The sitting of the newest memory made of an earlier turn; 0: there is none."""


@dataclass(frozen=True, slots=True)
class Place:
    thread_id: str
    ordinal: int
    episode: int
    said_by: Side | None
    speaker: str | None
    lead_in: str
    cues: Cue
    session_id: str | None
    world_time: datetime | None
    lead_in_from: str | None = None
    """The message that the lead-in is taken from."""
    opens_sitting: bool = False
    """No turn of the same sitting stands before it."""


def place(turns: Iterable[StoredTurn]) -> dict[str, Place]:
    """By message id. `turns` in the order of their conversations."""
    places: dict[str, Place] = {}
    episodes: dict[tuple[str, str, str], int] = {}
    for stored in turns:
        turn = stored.turn
        # The id alone is not a conversation: two players may have given the same.
        conversation = (turn.persona_id, turn.player_id, turn.conversation_id)
        episode = max(episodes.get(conversation, 0), stored.episode_before, 1)
        opens = stored.before is None or not _same_sitting(stored.before, turn)
        if opens and stored.before is not None:
            episode = max(episodes.get(conversation, 0), stored.episode_before) + 1
        episodes[conversation] = episode
        lead_in = _lead_in(stored.before, turn)
        places[turn.message_id] = Place(
            thread_id=turn.conversation_id,
            ordinal=stored.ordinal,
            episode=episode,
            said_by="player" if turn.role is Role.USER else "persona",
            speaker=_short_text(turn.metadata.get("speaker")),
            lead_in=lead_in,
            cues=cues_of(turn.content),
            session_id=session_of(turn.metadata),
            world_time=world_time_of(turn.metadata),
            lead_in_from=stored.before.message_id if stored.before is not None and lead_in else None,
            opens_sitting=opens,
        )
    return places


def session_of(metadata: Mapping[str, Any]) -> str | None:
    return _short_text(metadata.get("session_id"))


def world_time_of(metadata: Mapping[str, Any]) -> datetime | None:
    return _time(metadata.get("world_time"))


def text_to_embed(lead_in: str, content: str) -> str:
    """ "Yes, in Merrow." means nothing to a vector without the question it answers."""
    return f"{lead_in} {content}" if lead_in else content


def _same_sitting(before: Turn, turn: Turn) -> bool:
    return turn.created_at - before.created_at <= SITTING_GAP


def _lead_in(before: Turn | None, turn: Turn) -> str:
    if before is None or before.role is turn.role or not _same_sitting(before, turn):
        return ""
    return lead_in_of(before.content)


def lead_in_of(content: str) -> str:
    """What a text leaves before the one that answers it; empty when it asks nothing."""
    return last_question(content)[-MAX_LEAD_IN_CHARS:]


def _short_text(value: Any) -> str | None:
    """What a client may put into a turn's metadata; anything else says nothing."""
    if not isinstance(value, str) or not value.strip():
        return None
    return value.strip()[:_MAX_SPEAKER_CHARS]


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    # Overflow: of the first or the last day there is, which another offset moves out of the calendar.
    except (ValueError, OverflowError):
        return None
